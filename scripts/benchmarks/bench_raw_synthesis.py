"""Time of a synthetic raw sample, part by part, beside a direct NumPy form of the same formulas.

    python scripts/benchmarks/bench_raw_synthesis.py

A sample is that of ExposureDiffusion's training: planes of 512 x 512, ratio 100, the noise model P+G+r+u. The direct
form draws float64, calls NumPy's Poisson generator and copies in every turn. Both in one thread; the least CPU time of
several runs counts. Then: samples per second of one loader worker, from photographs and from a database of planes, and
the seconds of a training step of the U-Net (three calls, batch 1) on this CPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from entropy_sde_plugin.data.augmentation import random_square, turn_planes
from entropy_sde_plugin.data.datasets import SyntheticRawDataset
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata
from entropy_sde_plugin.data.raw_lmdb import planes_writer
from entropy_sde_plugin.data.raw_noise import NoiseModel, NoiseParameters, camera
from entropy_sde_plugin.data.raw_noise.model import NoiseDraws
from entropy_sde_plugin.data.raw_packing import pack_bayer
from entropy_sde_plugin.data.unprocessing import unprocessed
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.networks import ExposureUNet

EXPOSURE = NoiseParameters(2.0, 100.0, gauss_std=3.0, tukey_scale=2.5, row_std=1.5, tukey_shape=-0.1)
PATTERN = np.array([[0, 1], [3, 2]])
SIDE = 512
CALLS = 3


def direct_noise(clean: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """P+G+r+u as the formulas say it."""
    to_adu = EXPOSURE.value_range / EXPOSURE.ratio
    adu = np.maximum(clean * to_adu + rng.uniform(-0.5, 0.5, clean.shape), 0)
    adu = EXPOSURE.gain * rng.poisson(adu / EXPOSURE.gain)
    rows = EXPOSURE.row_std * rng.standard_normal((clean.shape[1], 2))
    adu = adu + np.stack([rows[:, 0], rows[:, 0], rows[:, 1], rows[:, 1]])[:, :, None]
    p, shape = rng.random(clean.shape), EXPOSURE.tukey_shape
    return (adu + EXPOSURE.tukey_scale * (p**shape - (1 - p) ** shape) / shape) / to_adu


def direct_packing(mosaic: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Packing as the formulas say it."""
    values = (mosaic.astype(np.float64) - 512) / (16383 - 512)
    return np.clip(np.stack([values[0::2, 0::2], values[0::2, 1::2], values[1::2, 1::2], values[1::2, 0::2]]), 0, 1)


def direct_augmentation(frame: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A random square, mirrored and transposed, with a copy in each step."""
    top, left = rng.integers(frame.shape[1] - SIDE + 1), rng.integers(frame.shape[2] - SIDE + 1)
    planes = frame[:, top : top + SIDE, left : left + SIDE].copy()
    for turned in (planes[:, :, ::-1], planes[:, ::-1], planes.transpose(0, 2, 1)):
        planes = turned.copy()
    return planes


def augmentation(frame: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The same as the data sets do it: views, and one copy for the tensor."""
    (planes,) = turn_planes([frame[random_square(frame.shape, SIDE, rng)]], rng, use_hflip=True, use_rot=True)
    return np.ascontiguousarray(planes)


def milliseconds(work: Callable[[], object], runs: int) -> float:
    """The least CPU time of a call; the first one, which makes tables, does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def parts(rng: np.random.Generator) -> Iterator[tuple[str, Callable[[], object], Callable[[], object] | None]]:
    """What a sample consists of: its name, ours and the direct form."""
    bright = np.asarray(cv2.resize(photograph('coffee'), (2 * SIDE, 2 * SIDE)), np.uint8)
    matrix = np.array(camera('SonyA7S2').camera_from_srgb)
    clean = unprocessed(bright, matrix, 2.0, 1.6)
    adu = clean * np.float32(EXPOSURE.value_range / EXPOSURE.ratio / EXPOSURE.gain)
    mosaic = rng.integers(0, 16384, (2 * SIDE, 2 * SIDE), dtype=np.uint16)
    frame = rng.random((4, SIDE + 200, SIDE + 300), np.float32)
    wide = frame.astype(np.float64)
    draws, model = NoiseDraws(rng), NoiseModel('P+G+r+u')
    yield (
        'packing',
        lambda: pack_bayer(mosaic, PATTERN, [512] * 4, 16383),
        lambda: direct_packing(mosaic),
    )
    yield 'augmentation', lambda: augmentation(frame, rng), lambda: direct_augmentation(wide, rng)
    yield 'noise', lambda: model(clean, EXPOSURE, draws), lambda: direct_noise(clean, rng)
    yield 'of it Poisson', lambda: draws.counts(adu), lambda: rng.poisson(adu)
    yield 'of it Tukey lambda', lambda: draws.tukey(clean.shape, EXPOSURE.tukey_shape), None
    yield 'of it uniform', lambda: draws.uniform(clean.shape), None
    yield 'unprocessing', lambda: unprocessed(bright, matrix, 2.0, 1.6), None


def samples_per_second(root: Path, samples: int) -> float:
    """Samples of one worker that reads photographs or a database."""
    opt: dict[str, Any] = {'name': 'bench', 'phase': 'train', 'dataroot_gt': str(root), 'gt_size': SIDE}
    loader = DataLoader(SyntheticRawDataset(opt), batch_size=1, num_workers=1, sampler=[0] * (samples + 2))
    arriving = iter(loader)
    for _ in range(2):  # the worker has started
        next(arriving)
    start = time.perf_counter()
    taken = sum(1 for _ in arriving)
    return taken / (time.perf_counter() - start)


def step_seconds() -> float:
    """A training step's forward and backward passes of the U-Net."""
    network, planes = ExposureUNet(), torch.rand(1, 8, SIDE, SIDE)
    start = time.perf_counter()
    for _ in range(CALLS):
        network(planes)[0].mean().backward()
    return time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=10, help='runs of each part [%(default)s]')
    parser.add_argument('--samples', type=int, default=40, help='samples of the loader worker [%(default)s]')
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    totals = np.zeros(2)
    print(f'{"part":<22}{"ms":>9}{"direct":>9}{"times":>8}')
    for name, work, direct in parts(rng):
        ours = milliseconds(work, options.runs)
        theirs = None if direct is None else milliseconds(direct, options.runs)
        print(row(name, ours, theirs))
        if name in ('packing', 'augmentation', 'noise'):
            totals += ours, theirs or 0
    print(row('together', *totals))
    with tempfile.TemporaryDirectory() as folder:
        for kind, root in stored(Path(folder)):
            print(f'one worker, {kind}: {samples_per_second(root, options.samples):.1f} samples a second')
    print(f'U-Net, {CALLS} calls forward and backward: {step_seconds():.1f} s, {torch.get_num_threads()} threads')


def row(name: str, ours: float, direct: float | None) -> str:
    """A line of the table."""
    return f'{name:<22}{ours:9.1f}' + ('' if direct is None else f'{direct:9.1f}{direct / ours:8.1f}')


def stored(folder: Path) -> Iterator[tuple[str, Path]]:
    """A photograph, and a database of raw planes, of what both data sets take their samples from."""
    bright = np.asarray(cv2.resize(photograph('coffee'), (3 * SIDE, 2 * SIDE)), np.uint8)
    (folder / 'photographs').mkdir()
    cv2.imwrite(str(folder / 'photographs/a.png'), bright[..., ::-1])
    yield 'photographs', folder / 'photographs'
    metadata = RawMetadata(800, 0.1, np.ones(4, np.float32), np.eye(3, dtype=np.float32))
    planes = unprocessed(bright[:, : 2 * SIDE], np.eye(3), 2.0, 1.6)
    with planes_writer(folder / 'planes.lmdb') as writer:
        writer.put(RawFrame(planes, (512.0,) * 4, 16383.0, metadata), planes, source='a')
    yield 'raw planes', folder / 'planes.lmdb'


if __name__ == '__main__':
    main()
