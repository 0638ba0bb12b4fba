"""Train the demonstration's network under many losses and seeds, and tabulate what came of it.

    python scripts/studies/ablation.py continued scratch -o ablation --seeds 0 1 2
    python scripts/studies/ablation.py forms -o ablation --seeds 0
    python scripts/studies/ablation.py continued lldiffusion -o ablation_lol --pairs datasets/LOLv1/our485

The photographs are the demonstration's, darkened while training. With ``--pairs`` they are real pairs, of which forty
are held out.

Every run is BasicSR's training of an option file of its own, left in ``ablation/options``. A command that was
interrupted is given again: what is finished stays, what was under way resumes. The tables go to ``ablation/STUDY.md``,
images side by side to ``ablation/STUDY.png``, and are written anew after every run.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _ablation_studies import BASE, STUDIES, Study, Variant

from entropy_sde_plugin import register
from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.augmentation import middle
from entropy_sde_plugin.data.lmdb import LmdbReader, lmdb_writer
from entropy_sde_plugin.data.sources import match_pairs, open_source
from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.utils.atomic_folder import atomic_folder

register()

from entropy_sde_plugin.demo.contact_sheet import contact_sheet  # noqa: E402
from entropy_sde_plugin.evaluation.kept_pictures import kept_picture  # noqa: E402
from entropy_sde_plugin.evaluation.records import read_metrics  # noqa: E402
from entropy_sde_plugin.utils.reporting import report_input_errors  # noqa: E402
from entropy_sde_plugin.utils.resources import options_folder  # noqa: E402

CROP = 256
"""Side of the validation's images, in pixels."""

HELD_OUT_PAIRS = 40
"""Of real pairs, those that are validated, evenly spaced; the others are trained on."""

SHOWN = 6
"""Images on the sheet."""

PAIRS = {'name': 'pairs', 'type': 'PairedLowLightDataset', 'dataroot_lq': 'datasets/train_lq.lmdb'}
"""What changes in the training's data set where the pairs are real."""

OF_DARKENING = {'exposure', 'random_scale_prob'}
"""Options of the training's data set that real pairs do not have."""

METRICS = {'psnr': 2, 'ssim': 4, 'lpips': 4, 'dists': 4, 'niqe': 2, 'psnr_gtmean': 2}
"""Columns of the tables and their decimals."""


@dataclass(frozen=True)
class Run:
    """One training: a variant under a seed.

    Attributes:
        name: Name of its option file and of its folder below ``experiments``.
        opt: Its options.
    """

    name: str
    opt: dict[str, Any]

    @property
    def iterations(self) -> int:
        return self.opt['train']['total_iter']


def main() -> None:
    report_input_errors()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('studies', nargs='+', choices=STUDIES, metavar='STUDY', help=', '.join(STUDIES))
    parser.add_argument('-o', '--output', type=Path, required=True, help='where everything goes')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--only', nargs='+', metavar='VARIANT', help='of the studies, these variants')
    parser.add_argument('--iterations', type=int, help="of a run [the study's]")
    parser.add_argument('--base', type=int, default=BASE, help=f'iterations under L1 that studies continue [{BASE}]')
    parser.add_argument('--pairs', type=Path, help='folder of real pairs, low/ and high/ [simulated darkness]')
    parser.add_argument('--table', action='store_true', help='train nothing, tabulate what is there')
    options = parser.parse_args()
    folder = options.output
    known = [variant.name for name in options.studies for variant in STUDIES[name].variants]
    for name in options.only or ():
        if name not in known:
            raise InputError(f"--only: none of the studies has a variant '{name}'. {suggestion(name, known)}")
    make_databases(folder / 'datasets', options.pairs)
    base = base_run(folder, options.base)
    for name in options.studies:
        study = STUDIES[name]
        variants = [v for v in study.variants if options.only is None or v.name in options.only]
        # Seed by seed: a study that is cut short has all of its variants under the first seeds.
        for seed in () if options.table else options.seeds:
            for variant in variants:
                if study.continues:
                    train(folder, base)
                train(folder, run_of(folder, name, variant, seed, options.iterations))
                report(folder, name, study, options.seeds, options.iterations)
        print(report(folder, name, study, options.seeds, options.iterations))


def make_databases(folder: Path, pairs: Path | None) -> None:
    """Write the databases unless they are there.

    Raises:
        InputError: Those that are there hold simulated darkness, and pairs were asked for.
    """
    if not folder.is_dir():
        if pairs is None:
            write_databases(folder)
        else:
            write_real_pairs(folder, pairs)
    elif pairs is not None and not are_real_pairs(folder):
        raise InputError(f'--pairs: {folder} holds simulated darkness. Choose another output folder.')


def are_real_pairs(folder: Path) -> bool:
    """Whether the training database holds dark images, not only bright ones that are darkened in training."""
    return (folder / 'train_lq.lmdb').is_dir()


def write_real_pairs(folder: Path, source: Path) -> None:
    """Write real pairs: most for the training, the middles of the others for validation."""
    sources = {kind: open_source(source / name) for kind, name in (('lq', 'low'), ('gt', 'high'))}
    pairs = match_pairs(sources['lq'], sources['gt'])
    places = np.linspace(0, len(pairs), HELD_OUT_PAIRS, endpoint=False).astype(int)
    held_out = {pairs[place] for place in places}
    with atomic_folder(folder, overwrite=False) as part:
        for kind, images_of_kind in sources.items():
            with (
                lmdb_writer(part / f'train_{kind}.lmdb') as train_on,
                lmdb_writer(part / f'val_{kind}.lmdb') as middles,
            ):
                for pair in pairs:
                    picture = images_of_kind.image(getattr(pair, kind))
                    if pair in held_out:
                        middles.put(str(pair.gt), middle(picture, CROP))
                    else:
                        train_on.put(str(pair.gt), picture)


def write_databases(folder: Path) -> None:
    """Write the demonstration's databases, of the held-out pairs the middle: validation is most of a short run."""
    with tempfile.TemporaryDirectory() as work, atomic_folder(folder, overwrite=False) as part:
        whole = write_demo_databases(Path(work, 'whole'))
        shutil.copytree(whole / 'train_gt.lmdb', part / 'train_gt.lmdb')
        for kind in ('lq', 'gt'):
            pairs = LmdbReader(whole / f'val_{kind}.lmdb')
            with lmdb_writer(part / f'val_{kind}.lmdb') as middles:
                for key in pairs.names:
                    middles.put(key, middle(pairs.image(key), CROP))


def run_of(folder: Path, study: str, variant: Variant, seed: int, iterations: int | None) -> Run:
    """The run of a study's variant: the base options, changed by the study and then by the variant."""
    changes = STUDIES[study]
    opt = merged(base_options(folder, changes.file), changes.options)
    if are_real_pairs(folder / 'datasets'):
        opt = merged(opt, changes.of_pairs)
    opt = merged(opt, variant.options)
    return finished(f'{study}_{variant.name}_{seed}', opt, seed, iterations or STUDIES[study].iterations)


def base_run(folder: Path, iterations: int = BASE) -> Run:
    """The training under L1 that studies continue."""
    return finished('base', base_options(folder), seed=1000, iterations=iterations)


def base_options(folder: Path, file: str = 'ablation.yml') -> dict[str, Any]:
    """Options of an option file, with the data that ``folder`` holds and the validation of ``ablation.yml``."""
    opt, ablation = (
        yaml.safe_load((options_folder() / name).read_text(encoding='utf-8')) for name in (file, 'ablation.yml')
    )
    opt |= {section: ablation[section] for section in ('val', 'logger')}
    if are_real_pairs(folder / 'datasets'):
        shared = {key: value for key, value in opt['datasets']['train'].items() if key not in OF_DARKENING}
        opt['datasets']['train'] = shared | PAIRS
    return opt


def finished(name: str, opt: dict[str, Any], seed: int, iterations: int) -> Run:
    """A run with what depends on its length: schedule, and a validation after the middle beside the one at the end."""
    length = {'total_iter': iterations, 'scheduler': {'periods': [iterations]}}
    return Run(
        name,
        merged(opt, {'name': name, 'manual_seed': seed, 'train': length, 'val': {'val_freq': iterations // 2 + 1}}),
    )


def merged(opt: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``opt`` with sections changed key by key; a section that names another ``type`` replaces the old one."""
    result = dict(opt)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and value.get('type') in (None, old.get('type')):
            value = merged(old, value)
        result[key] = value
    return result


def train(folder: Path, run: Run) -> None:
    """Run BasicSR's training, unless it has been finished; note what it cost, if nothing interrupted it.

    Raises:
        InputError: The training failed, or the folder holds a run of that name with other options.
    """
    file = folder / 'options' / f'{run.name}.yml'
    text = yaml.safe_dump(run.opt, sort_keys=False)
    if file.exists() and file.read_text(encoding='utf-8') != text:
        raise InputError(f'{file} has other options: choose another output folder, or remove that run.')
    if done(folder, run):
        return
    experiment = folder / 'experiments' / run.name
    interrupted = experiment.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding='utf-8')
    print(run.name, flush=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, '-m', 'basicsr.train', '-opt', str(file.resolve()), '--auto_resume']
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        sys.stderr.write('\n'.join(result.stdout.splitlines()[-20:]) + '\n')
        raise InputError(f'{run.name} stopped with exit code {result.returncode}; its last lines are above.')
    if not interrupted:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        (experiment / 'cost.json').write_text(json.dumps({'core_seconds': seconds}), encoding='utf-8')


def done(folder: Path, run: Run) -> bool:
    return bool(scores(folder, run, run.iterations))


def scores(folder: Path, run: Run, iteration: int) -> dict[str, float]:
    """Means over the held-out pairs after an iteration, by metric; empty if it was not reached."""
    rows = [row for row in read_metrics(folder / 'experiments' / run.name) if row['iteration'] == str(iteration)]
    return {name: float(np.mean([number(row[name]) for row in rows])) for name in METRICS} if rows else {}


def number(cell: str) -> float:
    return float(cell) if cell not in ('', 'n/a') else float('nan')


def report(folder: Path, name: str, study: Study, seeds: Sequence[int], iterations: int | None) -> str:
    """Write the study's table and images; returns the table."""
    runs = {v.name: [run_of(folder, name, v, seed, iterations) for seed in seeds] for v in study.variants}
    there = {variant: [run for run in of if done(folder, run)] for variant, of in runs.items()}
    there = {variant: of for variant, of in there.items() if of}
    lines = [f'{study.title} {iterations or study.iterations} iterations a run.', '']
    lines += ['| loss | seeds | ' + ' | '.join(METRICS) + ' | psnr since the middle | core-minutes |']
    lines += ['|---' * (len(METRICS) + 4) + '|']
    lines += [row(folder, variant, of) for variant, of in there.items()]
    table = '\n'.join(lines) + '\n'
    (folder / f'{name}.md').write_text(table, encoding='utf-8')
    if there:
        contact_sheet(
            list(pictures(folder, [of[0] for of in there.values()])), ['dark', *there, 'truth'], cell=(216, 162)
        ).save(folder / f'{name}.png')
    return table


def row(folder: Path, variant: str, runs: Sequence[Run]) -> str:
    """A row of the table: means and, of several seeds, their standard deviations."""
    ends = [scores(folder, run, run.iterations) for run in runs]
    cells = [spread([end[name] for end in ends], decimals) for name, decimals in METRICS.items()]
    middles = [scores(folder, run, run.iterations // 2 + 1) for run in runs]
    gain = np.mean([end['psnr'] - middle['psnr'] for end, middle in zip(ends, middles, strict=True) if middle])
    costs = [seconds for run in runs if (seconds := cost(folder, run)) is not None]
    minutes = f'{np.mean(costs) / 60:.1f}' if costs else 'n/a'
    return f'| {variant} | {len(runs)} | {" | ".join(cells)} | {gain:+.2f} | {minutes} |'


def cost(folder: Path, run: Run) -> float | None:
    """Core-seconds of a training, data and validation included; none of one that was interrupted."""
    file = folder / 'experiments' / run.name / 'cost.json'
    return json.loads(file.read_text(encoding='utf-8'))['core_seconds'] if file.exists() else None


def spread(values: Sequence[float], decimals: int) -> str:
    if np.isnan(values).any():
        return 'n/a'
    mean = f'{np.mean(values):.{decimals}f}'
    return mean if len(values) == 1 else f'{mean} ± {np.std(values, ddof=1):.{decimals}f}'


def pictures(folder: Path, runs: Sequence[Run]) -> Iterator[list[images.RGBImage]]:
    """Of some held-out images: the dark one, each run's and the truth."""
    lq, gt = (LmdbReader(folder / 'datasets' / f'val_{kind}.lmdb') for kind in ('lq', 'gt'))
    for key in shown_keys(folder):
        shown = [
            kept_picture(
                folder / 'experiments' / run.name / 'visualization', 'held_out', key, run.iterations, training=True
            )
            for run in runs
        ]
        yield [lq.image(key), *map(images.read, shown), gt.image(key)]


def shown_keys(folder: Path) -> Sequence[str]:
    """Evenly spaced images: of the demonstration's, each photograph at the darker of its two exposures."""
    names = LmdbReader(folder / 'datasets' / 'val_lq.lmdb').names
    return names[:: max(1, len(names) // SHOWN)][:SHOWN]


if __name__ == '__main__':
    main()
