"""How dark images compare with bright ones, real pairs beside simulated ones: five percentiles of five measures.

    python scripts/studies/darkness_statistics.py --photographs datasets/photographs/train_gt.lmdb \\
        --options options/train_lowlight_small.yml --real datasets/LOLv1/our485

The measures: the ratio of linear light, bright over dark; the slope of log dark over log bright, means of 16x16 blocks
(a pure gain gives about 1, a camera that crushes its shadows more); the share of pixels with a channel at zero; the
mean values of both images. Without ``--real`` only the simulation is measured.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from entropy_sde_plugin.data.datasets.synthetic import SyntheticLowLightOptions
from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.options import options_of
from entropy_sde_plugin.data.sources import open_source
from entropy_sde_plugin.data.synthesis import srgb_to_linear
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.resources import options_folder

MEASURES = ('light ratio', 'log-log slope', 'pixels at zero, %', 'dark mean', 'bright mean')
PERCENTILES = (5, 25, 50, 75, 95)
BLOCK = 16
Pairs = Iterable[tuple[RGBImage, RGBImage]]


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--photographs', required=True, help='folder or database of bright photographs')
    parser.add_argument(
        '--options',
        type=Path,
        default=options_folder() / 'train_lowlight_small.yml',
        help='option file whose datasets.train is a SyntheticLowLightDataset [%(default)s]',
    )
    parser.add_argument('--real', type=Path, help='folder with the real pairs in low and high')
    parser.add_argument('--draws', type=int, default=3, help='dark versions of each photograph [%(default)s]')
    options = parser.parse_args()
    tables = {'simulated': statistics(simulated_pairs(options.photographs, options.options, options.draws))}
    if options.real is not None:
        tables['real'] = statistics(real_pairs(options.real))
    print(format_table(tables))


def simulated_pairs(photographs: str, option_file: Path, draws: int) -> Iterator[tuple[RGBImage, RGBImage]]:
    """Yield dark and bright version of every photograph, halved to the size of a small camera image."""
    section = yaml.safe_load(option_file.read_text(encoding='utf-8'))['datasets']['train']
    cameras = options_of(SyntheticLowLightOptions, section | {'phase': 'train', 'dataroot_gt': photographs}).cameras
    rng = np.random.default_rng(0)
    source = open_source(photographs)
    for name in source.names:
        bright = np.ascontiguousarray(source.image(name)[::2, ::2])
        for _ in range(draws):
            yield cameras.darkened(bright, rng), bright


def real_pairs(folder: Path) -> Iterator[tuple[RGBImage, RGBImage]]:
    """Yield dark and bright images of the same name in ``low`` and ``high``."""
    dark, bright = open_source(folder / 'low'), open_source(folder / 'high')
    for name in dark.names:
        yield dark.image(name), bright.image(name)


def statistics(pairs: Pairs) -> NDArray[np.float64]:
    """Return the percentiles (rows: ``PERCENTILES``) of all measures (columns: ``MEASURES``)."""
    return np.nanpercentile([measures(dark, bright) for dark, bright in pairs], PERCENTILES, axis=0)


def measures(dark: RGBImage, bright: RGBImage) -> tuple[float, ...]:
    """Return the values of ``MEASURES`` for one pair of images (H, W, 3), uint8."""
    linear = srgb_to_linear(np.arange(256) / 255)
    ratio = linear[bright].mean() / max(linear[dark].mean(), 1e-6)
    return ratio, slope(dark, bright), 100 * (dark == 0).any(-1).mean(), dark.mean(), bright.mean()


def slope(dark: RGBImage, bright: RGBImage) -> float:
    """Slope of log dark over log bright, block means; NaN where fewer than 20 blocks are neither black nor white."""
    x, y = block_means(bright), block_means(dark)
    clear = (y > 1) & (x > 1) & (x < 0.97 * 255)
    return float(np.polyfit(np.log(x[clear]), np.log(y[clear]), 1)[0]) if clear.sum() >= 20 else math.nan


def block_means(picture: RGBImage) -> NDArray[np.float64]:
    """Mean gray of every whole block of 16x16 pixels, flat."""
    height, width = (side // BLOCK for side in picture.shape[:2])
    gray = picture.mean(-1)[: height * BLOCK, : width * BLOCK]
    return cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA).ravel()


def format_table(tables: dict[str, NDArray[np.float64]]) -> str:
    """One row for each measure and kind of pairs."""
    lines = ['| measure | pairs | ' + ' | '.join(f'{p} %' for p in PERCENTILES) + ' |', '|---|---|' + '---|' * 5]
    for column, measure in enumerate(MEASURES):
        for kind, table in tables.items():
            lines.append(f'| {measure} | {kind} | ' + ' | '.join(f'{v:.3g}' for v in table[:, column]) + ' |')
    return '\n'.join(lines)


if __name__ == '__main__':
    try:
        main()
    except InputError as error:
        sys.exit(f'error: {error}')
