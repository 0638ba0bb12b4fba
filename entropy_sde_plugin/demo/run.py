"""The demonstration: real photographs, BasicSR's own trainer, and the results on dark ones.

Everything is written to one folder: the databases, BasicSR's ``experiments/``, the table and the image.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from basicsr.metrics import calculate_psnr, calculate_ssim

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.lmdb import LmdbReader
from entropy_sde_plugin.demo.contact_sheet import contact_sheet
from entropy_sde_plugin.demo.photographs import EXPOSURES, HELD_OUT, pair_key, write_demo_databases
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.evaluation.baselines import BASELINES
from entropy_sde_plugin.utils.atomic_file import check_output_folder, write_file
from entropy_sde_plugin.utils.child_process import running
from entropy_sde_plugin.utils.console import Progress, report
from entropy_sde_plugin.utils.resources import options_folder

__all__ = ['run']

OPTIONS = 'demo.yml'
OURS = 'Entropy-SDE (this run)'


@dataclass(frozen=True)
class Score:
    """Means over the validation pairs: PSNR in dB, SSIM, and the error of the mean brightness in 0…1."""

    method: str
    psnr: float
    ssim: float
    brightness_error: float


def run(folder: Path, overrides: Sequence[str] = ()) -> list[Score]:
    """Train on the packaged photographs, validate on the held-out ones, and write a table and an image to ``folder``.

    Args:
        folder: The output folder; created if missing. An earlier run's experiment is archived by BasicSR.
        overrides: Option overrides for BasicSR's ``--force_yml``, e.g. ``['train:total_iter=100']``.

    Returns:
        A score for each baseline, then ours.

    Raises:
        InputError: The folder takes no files; the training failed, and its output was shown; or it saved no images.
    """
    check_output_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    report(f'1/3  Writing the photographs to {folder / "datasets"}')
    write_demo_databases(folder / 'datasets')
    report(f'2/3  Training and validating: python -m basicsr.train -opt {OPTIONS}')
    _train(folder, overrides)
    report('3/3  Comparing with the baselines')
    dark, truth, ours = _results(folder)
    scores = [_score(name, [method(image) for image in dark], truth) for name, method in BASELINES.items()]
    scores.append(_score(OURS, ours, truth))

    table = format_table(scores)
    write_file(folder / 'table.md', table.encode())
    shown = range(0, len(dark), len(EXPOSURES))  # the darker exposure of each photograph
    sheet = io.BytesIO()
    contact_sheet([(dark[i], ours[i], truth[i]) for i in shown], ('before', 'after', 'truth')).save(sheet, 'PNG')
    write_file(folder / 'demo.png', sheet.getvalue())
    print(f'\n{table}\nTable: {folder / "table.md"}\nImage: {folder / "demo.png"}')
    return scores


def format_table(scores: Sequence[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [f'{len(HELD_OUT)} held-out photographs at exposures {", ".join(map(str, EXPOSURES))}:', '']
    lines += ['| method | PSNR, dB | SSIM | brightness error |', '|---|---|---|---|']
    lines += [f'| {s.method} | {s.psnr:.2f} | {s.ssim:.3f} | {s.brightness_error:+.3f} |' for s in scores]
    return '\n'.join(lines) + '\n'


def _train(folder: Path, overrides: Sequence[str]) -> None:
    # The name determines where the results are, so it must not be overridden.
    overrides = [*overrides, 'name=demo']
    command = [
        sys.executable,
        '-m',
        'basicsr.train',
        '-opt',
        str(options_folder() / OPTIONS),
        '--force_yml',
        *overrides,
    ]
    with (
        running('The training', command, folder) as training,
        Progress(None, 'iterations', 'training') as progress,
    ):
        for line in training:
            _show_progress(progress, line)


def _show_progress(progress: Progress, line: str) -> None:
    """Update the progress from BasicSR's log, and pass its warnings on."""
    if match := re.search(r'total_iter: (\d+)', line):
        progress.total = int(match.group(1))
    elif match := re.search(r'iter:\s*([\d,]+), .*?(l_pix: \S+)', line):
        progress.update(int(match.group(1).replace(',', '')), match.group(2))
    elif 'End of training' in line:
        progress.label = 'training, then validating'
        progress.update(progress.total or 0)
    elif re.search(r'^warning:|WARNING', line):
        progress.say(line.rstrip())


def _results(folder: Path) -> tuple[list[images.RGBImage], list[images.RGBImage], list[images.RGBImage]]:
    """Return the dark, true and restored image of every pair, as saved by BasicSR's validation."""
    dark, truth, ours = [], [], []
    place = folder / 'experiments' / 'demo' / 'visualization' / 'held_out'
    lq, gt = (LmdbReader(folder / 'datasets' / f'val_{kind}.lmdb') for kind in ('lq', 'gt'))
    for key in [pair_key(name, exposure) for name in HELD_OUT for exposure in EXPOSURES]:
        saved = [*(place / key).glob('*.png')]
        if not saved:
            raise InputError(f"'{place}' holds no image of '{key}': leave save_img and datasets.val as they are.")
        dark.append(lq.image(key))
        truth.append(gt.image(key))
        ours.append(images.read(max(saved, key=_iteration)))
    return dark, truth, ours


def _iteration(path: Path) -> int:
    return int(path.stem.rsplit('_', 1)[1])


def _score(method: str, restored: Sequence[images.RGBImage], truth: Sequence[images.RGBImage]) -> Score:
    pairs = list(zip(restored, truth, strict=True))
    return Score(
        method,
        psnr=float(np.mean([calculate_psnr(a, b, crop_border=0) for a, b in pairs])),
        ssim=float(np.mean([calculate_ssim(a, b, crop_border=0) for a, b in pairs])),
        brightness_error=float(np.mean([a.mean() - b.mean() for a, b in pairs])) / 255,
    )
