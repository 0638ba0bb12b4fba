"""ExposureDiffusion beside classical denoisers on short raw exposures made of the demo's held-out photographs.

    pip install 'entropy-sde-plugin[rivals]'
    python scripts/benchmarks/bench_exposure.py

Each photograph is exposed at every ratio with the noise P+G+r+u of a calibrated camera. The rivals get the exposure
times the ratio and the noise level of each plane, which is known exactly; the model gets ratio and gain. Nothing is
corrected by the truth's brightness. Then the command enhances one raw file of 4240x2832 pixels, with its seconds, start
and end included, and its highest memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from entropy_sde_plugin import register
from entropy_sde_plugin.errors import InputError

register()

from entropy_sde_plugin.data.datasets import SyntheticRawDataset  # noqa: E402
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata  # noqa: E402
from entropy_sde_plugin.demo.photographs import FOLDER, HELD_OUT  # noqa: E402
from entropy_sde_plugin.inference.pictures.dng import encode_dng  # noqa: E402
from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer  # noqa: E402
from entropy_sde_plugin.metrics.raw import calculate_psnr_raw, calculate_ssim_raw  # noqa: E402
from entropy_sde_plugin.utils.extras import needs_extra  # noqa: E402
from entropy_sde_plugin.utils.resources import packaged_model  # noqa: E402

Planes = NDArray[np.float32]
Method = Callable[[dict[str, Any]], Planes]
"""A sample of the data set -> its restored planes, (4, H, W)."""

SENSOR = (4240, 2832)
"""Width and height of the camera of SID."""

WHITE, BLACK = 16383.0, 800.0
"""Of the raw file; their difference is that of the data set's samples."""


def main() -> None:
    """Print the table, then the time of a whole frame."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, default=packaged_model('exposure'), help="weights [the package's]")
    parser.add_argument('--steps', type=int, help="the model's network calls [those that its file names]")
    parser.add_argument('--ratios', nargs='+', type=float, default=[50, 100, 250], help='exposure ratios [50 100 250]')
    parser.add_argument('--images', nargs='+', choices=HELD_OUT, default=HELD_OUT, help='photographs [all six]')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS), help='[all]')
    parser.add_argument('--no-frame', action='store_true', help='leave out the whole frame')
    options = parser.parse_args()
    print(_table(options), flush=True)
    if not options.no_frame:
        seconds, memory = _whole_frame(options.model)
        print(f'\n{"x".join(map(str, SENSOR))}: {seconds:.1f} s, {memory / 2**30:.2f} GB')


def _table(options: argparse.Namespace) -> str:
    rows = [
        '| method | ' + ' | '.join(f'x{ratio:g}' for ratio in options.ratios) + ' |',
        '|---|' + '---|' * len(options.ratios),
    ]
    samples = [list(_samples(options.images, ratio)) for ratio in options.ratios]
    for name in options.methods:
        method = METHODS[name](options)
        cells = []
        for ratio, of_ratio in zip(options.ratios, samples, strict=True):
            scores = [_score(method(sample), sample) for sample in tqdm(of_ratio, f'{name}, x{ratio:g}', leave=False)]
            psnr, ssim = (fmean(column) for column in zip(*scores, strict=True))
            cells.append(f'{psnr:.2f} / {ssim:.3f}')
        rows.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(rows)


def _samples(names: list[str], ratio: float) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / f'{name}.jpg').symlink_to(FOLDER / f'{name}.jpg')
        options = {
            'name': 'held_out',
            'phase': 'val',
            'dataroot_gt': folder,
            'noise': 'P+G+r+u',
            'gain': 'per_camera',
            'ratio': [ratio, ratio],
            'keep_negative': True,
        }
        dataset = SyntheticRawDataset(options)
        yield from (dataset[index] for index in range(len(dataset)))


def _score(planes: Planes, sample: dict[str, Any]) -> tuple[float, float]:
    truth = sample['gt'].numpy()
    psnr, ssim = (each(planes, truth, input_order='CHW') for each in (calculate_psnr_raw, calculate_ssim_raw))
    return psnr, ssim


def _input(options: argparse.Namespace) -> Method:
    return lambda sample: sample['lq'].numpy().clip(0, 1)


def _non_local_means(options: argparse.Namespace) -> Method:
    from skimage.restoration import denoise_nl_means

    def method(sample: dict[str, Any]) -> Planes:
        planes, levels = sample['lq'].numpy(), _noise_levels(sample)
        # Each plane in units of its own noise, so that patches of all four are compared at once.
        scaled = planes / levels
        denoised: Any = denoise_nl_means(
            scaled, patch_size=5, patch_distance=9, h=0.6, sigma=1.0, fast_mode=True, channel_axis=0
        )
        return np.asarray(denoised * levels, np.float32)

    return method


def _bm3d(options: argparse.Namespace) -> Method:
    with needs_extra('rivals'):
        import bm3d  # pyright: ignore[reportMissingImports]  an extra

    def method(sample: dict[str, Any]) -> Planes:
        levels = _noise_levels(sample).ravel()
        planes = zip(sample['lq'].numpy(), levels, strict=True)
        return np.stack([bm3d.bm3d(plane, sigma_psd=float(level)) for plane, level in planes]).astype(np.float32)

    return method


def _noise_levels(sample: dict[str, Any]) -> Planes:
    """Standard deviation of the noise of each plane, (4, 1, 1)."""
    return (sample['lq'] - sample['gt']).numpy().std((1, 2), keepdims=True)


def _model(options: argparse.Namespace) -> Method:
    enhancer = RawEnhancer.from_file(options.model, steps=options.steps)

    def method(sample: dict[str, Any]) -> Planes:
        ratio = float(sample['ratio'])
        return enhancer.enhance(_frame(sample['lq'].numpy() / ratio), ratio=ratio, gain=float(sample['gain']))

    return method


def _frame(planes: Planes) -> RawFrame:
    metadata = RawMetadata(1600, 0.1, np.ones(4, np.float32), np.eye(3, dtype=np.float32))
    return RawFrame(planes, (BLACK,) * 4, WHITE, metadata)


METHODS: dict[str, Callable[[argparse.Namespace], Method]] = {
    'input, scaled': _input,
    'non-local means': _non_local_means,
    'BM3D': _bm3d,
    'ExposureDiffusion': _model,
}


def _whole_frame(model: Path) -> tuple[float, int]:
    """Return the seconds and the highest memory in bytes of the command on a file of a whole frame."""
    width, height = SENSOR
    planes = np.random.default_rng(0).normal(0.002, 0.001, (4, height // 2, width // 2)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'night.dng'
        source.write_bytes(encode_dng(planes, _frame(planes)))
        arguments = ['enhance', '-q', '-i', source, '-o', folder, '--model', model, '--ratio', '100', '--gain', '1.5']
        command = [sys.executable, '-m', 'entropy_sde_plugin.cli', *map(str, arguments)]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status or not (Path(folder) / 'night.png').is_file():
            raise RuntimeError(f'the command failed with {os.waitstatus_to_exitcode(status)}.')
    return seconds, usage.ru_maxrss * 1024


if __name__ == '__main__':
    try:
        main()
    except InputError as error:
        sys.exit(f'error: {error}')
