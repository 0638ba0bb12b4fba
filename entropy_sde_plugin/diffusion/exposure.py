"""ExposureProcess: a short raw exposure lengthened by the photons of a prediction (ExposureDiffusion, ICCV 2023).

States are packed raw images, brightened to the reference exposure. The exposure of a state, lambda, counts in short
exposures: the short frame has 1 and the reference r, the ratio of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.process import CLEAN, Process
from entropy_sde_plugin.errors import InputError

__all__ = [
    'GAINS',
    'LARGEST_RATIO',
    'RELEASED_RANGE',
    'Counts',
    'ExposureProcess',
    'check_gain',
    'check_ratio',
    'illumination_gain',
    'matched_to_truth',
    'photon_counts',
]

RELEASED_RANGE = 15583.0
"""White less black level in ADU, which the release takes for every camera (16383 - 800)."""

LARGEST_RATIO = 65535.0
"""Of an exposure: one ADU of a sensor of 16 bits becomes white."""

GAINS = (1e-3, 1e3)
"""Lowest and highest gain, ADU per photon; those of calibrated cameras lie between 0.1 and 30."""

Counts = Callable[[Tensor], Tensor]
"""Photon counts of a mean, both (B, 4, H, W)."""


class ExposureProcess(Process):
    """The process of one batch of exposures.

    Args:
        ratio: r, exposure of the reference over that of the short frame, above 1, at most :data:`LARGEST_RATIO`: one
            for all images, or (B,).
        gain: K of the sensor in ADU per photon, in :data:`GAINS`: one for all images, or (B,).
        value_range: White less black level, ADU: one for all images, or (B,).

    Raises:
        InputError: A ratio, a gain or a range outside its own.

    Example:
        >>> process = ExposureProcess(ratio=100, gain=2.0)
        >>> [float(time) for time in process.time_grid(3)[:-1]]
        [1.0, 34.0, 67.0]
    """

    image_range = (0.0, 1.0)

    def __init__(
        self, ratio: float | Tensor, gain: float | Tensor, value_range: float | Tensor = RELEASED_RANGE
    ) -> None:
        self.ratio, self.gain, self.value_range = (
            torch.as_tensor(value, dtype=torch.float64, device='cpu').reshape(-1)
            for value in (ratio, gain, value_range)
        )
        check_ratio(*self.ratio.tolist())
        check_gain(*self.gain.tolist())
        if not (self.value_range > 0).all():
            message = f'The white level must be above the black one, got a range of {self.value_range.tolist()} ADU.'
            raise InputError(message, option='value_range')

    def time_grid(self, steps: int) -> list[Any]:
        """Return exposures at equal distances from 1 to the ratio, the last one as :data:`~.process.CLEAN`.

        Args:
            steps: Network calls to spend; three in the published results.

        Returns:
            ``steps`` increasing exposures, each of shape () or (B,), and ``CLEAN``.

        Raises:
            InputError: Fewer than one step.
        """
        if steps < 1:
            raise InputError(f'sampler.steps must be at least 1, got {steps}.', option='sampler.steps')
        return [*(1 + (self.ratio - 1) * (i / steps) for i in range(steps)), CLEAN]

    def draw_times(self, between: int, generators: Sequence[torch.Generator], *, from_one: bool) -> list[Any]:
        """Draw the exposures of a training step.

        Args:
            between: Number of exposures between the first, which is 1, and the reference.
            generators: One for each image.
            from_one: Draw distinct whole numbers from 1…r - 1, as the release does for batches of one image: drawing
                1, with probability ``between / (r - 1)``, leaves one network call fewer. Otherwise from 2…r - 1.

        Returns:
            Increasing exposures, each (B,), and ``CLEAN``.

        Raises:
            InputError: A ratio with too few whole numbers below it, or ``from_one`` for several images.
        """
        ratios = self.ratio.expand(len(generators))
        if from_one and len(generators) > 1:
            raise InputError('All images of a batch need the same number of network calls: set from_one=False.')
        rows = []
        for ratio, generator in zip(ratios.tolist(), generators, strict=True):
            first = 1 if from_one else 2
            last = int(ratio) - 1 if from_one else max(int(ratio), between + 2) - 1
            if last - first + 1 < between:
                least = first + between
                raise InputError(
                    f'{between + 1} network calls need exposure ratios of at least {least}, got {ratio:g}: '
                    "lower 'exposure.calls'.",
                    option='exposure.calls',
                )
            drawn = torch.randperm(last - first + 1, generator=generator)[:between] + first
            rows.append(sorted({1, *drawn.tolist()}))
        return [*torch.tensor(rows, dtype=torch.float64).T, CLEAN]

    def photon_plane(self, state: Tensor, exposure: Tensor) -> Tensor:
        """Return the state in photons, in units of the sensor's range: x_t lambda / (r K)."""
        return state * self._on(state, exposure / (self.ratio * self.gain))

    def lengthen(self, short: Tensor, picture: Tensor, to: Tensor, counts: Counts) -> Tensor:
        """Return the state of a longer exposure: the photons of the short frame and those that an image adds.

        The gradient passes through the counts as if they were their mean (straight-through).

        Args:
            short: The short exposure x_T, (B, 4, H, W).
            picture: The predicted clean image, shaped as ``short``.
            to: The exposure of arrival, () or (B,).
            counts: Draws photon counts.

        Returns:
            The state, brightened to the reference, not clipped.
        """
        photons = self.value_range / (self.ratio * self.gain)  # of white, in the short exposure
        mean = picture.clamp(0, 1) * self._on(picture, photons * (to - 1))
        drawn = mean + (counts(mean.detach()) - mean).detach()
        return (short.clamp(max=1) * self._on(short, photons) + drawn) * self._on(short, 1 / (photons * to))

    @staticmethod
    def _on(images: Tensor, factor: Tensor) -> Tensor:
        return factor.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1, 1)


def photon_counts(generators: torch.Generator | Sequence[torch.Generator]) -> Counts:
    """Make a source of Poisson counts.

    Args:
        generators: One source for the batch, or one for each of its images, whose draws then do not depend on the
            others. Counts are drawn on their device, so that a CPU generator gives the same on every machine.
    """

    def draw(mean: Tensor) -> Tensor:
        if isinstance(generators, torch.Generator):
            return torch.poisson(mean.nan_to_num().to(generators.device), generators).to(mean.device)
        rows = zip(mean.nan_to_num(), generators, strict=True)  # a diverged prediction stays one, by the mean added
        return torch.stack([torch.poisson(row.to(each.device), each) for row, each in rows]).to(mean.device)

    return draw


def check_ratio(*ratios: float) -> None:
    """Check exposure ratios.

    Raises:
        InputError: One is not above 1 and at most :data:`LARGEST_RATIO`.
    """
    for ratio in ratios:
        if not 1 < ratio <= LARGEST_RATIO:
            raise InputError(
                f'An exposure ratio must be above 1 and at most {LARGEST_RATIO:g}, got {ratio:g}.', option='ratio'
            )


def check_gain(*gains: float) -> None:
    """Check gains, in ADU per photon.

    Raises:
        InputError: One is outside :data:`GAINS`.
    """
    low, high = GAINS
    for gain in gains:
        if not low <= gain <= high:
            raise InputError(f'A gain must be from {low:g} to {high:g} ADU per photon, got {gain:g}.', option='gain')


def illumination_gain(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the factor that brings a prediction closest to the truth: <c, gt> / <c, c>, c the clipped prediction.

    Elements where the truth is 1, which is clipped, do not count.

    Args:
        predicted: (B, C, H, W).
        truth: Likewise, or one for all of them.

    Returns:
        (B, 1, 1, 1); 0 where nothing is predicted.
    """
    counted = (truth != 1).to(predicted.dtype)
    clipped = predicted.clamp(0, 1) * counted
    dims = (1, 2, 3)
    power = (clipped * clipped).sum(dims, keepdim=True)
    return (clipped * truth).sum(dims, keepdim=True) / power.clamp_min(torch.finfo(power.dtype).tiny)


def matched_to_truth(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the clipped prediction times its :func:`illumination_gain`, not clipped again."""
    return illumination_gain(predicted, truth) * predicted.clamp(0, 1)
