"""Rivals and classical baselines on the demo's held-out photographs or on real pairs, one table, all measured alike.

    pip install 'entropy-sde-plugin[rivals]'
    python scripts/benchmarks/bench_rivals.py -o rivals
    python scripts/benchmarks/bench_rivals.py -o rivals_lol --pairs LOLv1/eval15

Each method's images go to a folder of their own below ``-o``, and each folder through what ``entropy-sde evaluate
--result FOLDER --truth TRUTH`` does.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from entropy_sde_plugin import register
from entropy_sde_plugin.errors import InputError

register()

from entropy_sde_plugin.data import images  # noqa: E402
from entropy_sde_plugin.data.lmdb import LmdbReader  # noqa: E402
from entropy_sde_plugin.data.sources import ImageFolder, ImageSource, open_source  # noqa: E402
from entropy_sde_plugin.demo.photographs import write_demo_databases  # noqa: E402
from entropy_sde_plugin.evaluation.baselines import BASELINES, RETINEX  # noqa: E402
from entropy_sde_plugin.evaluation.evaluate import DEFAULT_METRICS, ImageSet, evaluate, format_table  # noqa: E402
from entropy_sde_plugin.utils.resources import packaged_model  # noqa: E402

OURS = 'Entropy-SDE'
ZERO_DCE = 'Zero-DCE++ (neuro-low-light)'


def main() -> None:
    """Run all methods, score them, print the table."""
    options = _parser().parse_args()
    dark, truth = _pairs(options)
    folders = dict(_restored(dark, options.output, None if options.ours else options.model))
    if options.ours is not None:
        folders[OURS] = options.ours
    sets = {name: ImageSet(ImageFolder(folder)) for name, folder in folders.items()}
    table = format_table(evaluate(sets, truth, options.metrics))
    (options.output / 'table.md').write_text(table, encoding='utf-8')
    print(table, end='')
    if ZERO_DCE not in folders:
        print(f"\n{ZERO_DCE} is missing: pip install 'entropy-sde-plugin[rivals]'")


def _pairs(options: argparse.Namespace) -> tuple[ImageSource, ImageSource]:
    """The dark images and the truths."""
    if options.pairs is not None:
        return open_source(options.pairs / 'low'), open_source(options.pairs / 'high')
    datasets = write_demo_databases(options.output / 'datasets')
    return LmdbReader(datasets / 'val_lq.lmdb'), LmdbReader(datasets / 'val_gt.lmdb')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('-o', '--output', type=Path, default=Path('rivals'), help='folder for everything [%(default)s]')
    parser.add_argument('--metrics', nargs='+', default=DEFAULT_METRICS, help='as for entropy-sde evaluate')
    parser.add_argument('--pairs', type=Path, help="folder of real pairs, low/ and high/ [the demo's photographs]")
    ours = parser.add_mutually_exclusive_group()
    ours.add_argument('--model', type=Path, default=packaged_model(), help="weights of ours [the package's]")
    ours.add_argument('--ours', type=Path, metavar='FOLDER', help='images of ours, named as the truths')
    return parser


def _restored(dark: ImageSource, output: Path, model: Path | None) -> Iterator[tuple[str, Path]]:
    """Run the methods one after another; yield each one's name and the folder of its images."""
    for name, method in (BASELINES | RETINEX).items():
        yield name, _run(name, method, dark, output)
    if importlib.util.find_spec('neuro_low_light'):
        yield ZERO_DCE, _zero_dce(output / _slug('dark input'), output / _slug(ZERO_DCE))
    if model is not None:
        from entropy_sde_plugin.inference.enhancer import Enhancer

        enhancer = Enhancer.from_file(model)
        yield OURS, _run(OURS, lambda image: enhancer.enhance(image, seed=0), dark, output)


def _run(name: str, method: Callable[[images.RGBImage], images.RGBImage], dark: ImageSource, output: Path) -> Path:
    folder = output / _slug(name)
    folder.mkdir(parents=True, exist_ok=True)
    for key in tqdm(dark.names, desc=name, unit='image', leave=False):
        (folder / f'{key}.png').write_bytes(images.encode_png(method(dark.image(key))))
    return folder


def _zero_dce(dark: Path, folder: Path) -> Path:
    """Zero-DCE++ with the weights in the package neuro-low-light, by its own inference."""
    from neuro_low_light import EnhanceModel  # pyright: ignore[reportMissingImports]  an extra

    with contextlib.redirect_stdout(sys.stderr):
        EnhanceModel(device='cpu').enhance_folder(dark, folder)
    return folder


def _slug(name: str) -> str:
    return re.sub(r'[^a-z0-9.]+', '_', name.lower()).strip('_')


if __name__ == '__main__':
    try:
        main()
    except InputError as error:
        sys.exit(f'error: {error}')
