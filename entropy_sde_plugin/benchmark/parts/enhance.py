"""Time and memory of enhancing an image with the packaged model, and its difference from the CPU's result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.benchmark.comparing import without_tf32
from entropy_sde_plugin.benchmark.memory import PeakMemory
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.benchmark.timing import fastest
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.utils.resources import packaged_model

ALLOWED = 1
"""Of 255, where the CPU's float32 is compared with."""


def rows(settings: Settings) -> Iterator[Row]:
    """Compare a small image in float32, then measure the sizes of LOL and of a camera."""
    small, large = ((40, 60), (60, 90)) if settings.quick else ((400, 600), (4000, 6000))
    cases = {
        f'{size[1]}x{size[0]}, {precision}': (size, precision)
        for size, precision in ((small, 'fp32'), (small, 'auto'), (large, 'auto'))
    }
    steps = 1 if settings.quick else None

    def measure(name: str) -> Row:
        size, precision = cases[name]
        image = _dark(*size)
        enhancer = Enhancer.from_file(packaged_model(), device=settings.device, precision=precision, steps=steps)
        with without_tf32() if precision == 'fp32' else nullcontext():
            bright = enhancer.enhance(image)  # chooses kernels
            memory = PeakMemory(enhancer.device)
            seconds = fastest({name: lambda: enhancer.enhance(image)}, repeats=1 if settings.quick else 2)[name]
        values = {'s': seconds, 'MB': memory.above_baseline() / 1e6}
        if precision != 'fp32':
            return Row(name, values)
        expected = Enhancer.from_file(packaged_model(), device='cpu', precision='fp32', steps=steps).enhance(image)
        difference = int(np.abs(bright.astype(int) - expected).max())
        problem = '' if difference <= ALLOWED else f'differs from the CPU by {difference} of 255'
        return Row(name, {**values, 'difference, of 255': difference}, problem)

    yield from attempts(cases, measure)


def _dark(height: int, width: int) -> NDArray[np.uint8]:
    """A dark photograph, repeated to a size."""
    dark = darken(photograph('coffee'), exposure=0.1, rng=np.random.default_rng(0))
    repeats = (-(-height // dark.shape[0]), -(-width // dark.shape[1]), 1)
    return np.tile(dark, repeats)[:height, :width]
