"""Time of a synthetic raw sample, part by part, beside a direct NumPy form of the same formulas.

    python scripts/benchmarks/bench_raw_synthesis.py

A sample is that of ExposureDiffusion's training: planes of 512 x 512, ratio 100, the noise model P+G+r+u. The direct
form draws float64 and calls NumPy's Poisson generator. Both in one thread; the least of several runs counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.raw_noise import NoiseModel, NoiseParameters
from entropy_sde_plugin.data.raw_noise.model import NoiseDraws
from entropy_sde_plugin.data.raw_packing import pack_bayer
from entropy_sde_plugin.data.unprocessing import camera_from_srgb, unprocessed
from entropy_sde_plugin.demo.photographs import photograph

EXPOSURE = NoiseParameters(2.0, 100.0, gauss_std=3.0, tukey_scale=2.5, row_std=1.5, tukey_shape=-0.1)
PATTERN = np.array([[0, 1], [3, 2]])


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


def milliseconds(work: Callable[[], object], runs: int) -> float:
    """The least CPU time of a call."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=10, help='runs of each part')
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    bright = np.asarray(cv2.resize(photograph('coffee'), (1024, 1024)), np.uint8)
    matrix = camera_from_srgb('SonyA7S2')
    clean = unprocessed(bright, matrix, 2.0, 1.6)
    adu = clean * np.float32(EXPOSURE.value_range / EXPOSURE.ratio / EXPOSURE.gain)
    mosaic = rng.integers(0, 16384, (1024, 1024), dtype=np.uint16)
    draws, model = NoiseDraws(rng), NoiseModel('P+G+r+u')
    parts: dict[str, Callable[[], object]] = {
        'noise, direct': lambda: direct_noise(clean, rng),
        'noise': lambda: model(clean, EXPOSURE, draws),
        '  Poisson, by NumPy': lambda: rng.poisson(adu),
        '  Poisson': lambda: draws.counts(adu),
        '  Tukey lambda': lambda: draws.tukey(clean.shape, EXPOSURE.tukey_shape),
        '  uniform': lambda: draws.uniform(clean.shape),
        'packing, direct': lambda: direct_packing(mosaic),
        'packing': lambda: pack_bayer(mosaic, PATTERN, [512] * 4, 16383),
        'unprocessing': lambda: unprocessed(bright, matrix, 2.0, 1.6),
    }
    for name, work in parts.items():
        work()  # tables are made once
        print(f'{name:<22}{milliseconds(work, runs):8.1f} ms')


if __name__ == '__main__':
    main()
