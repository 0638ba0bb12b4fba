"""Brightness of results, as mean luma: which one is wanted, and how a result is brought to it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.luma import LUMA_WEIGHTS, mean_luma

__all__ = ['Brightness', 'match_brightness', 'wanted_brightness']

Brightness = Literal['auto', 'keep', 'truth'] | Annotated[float, msgspec.Meta(ge=0.05, le=0.95)]
"""``'auto'`` leaves it to the model, ``'keep'`` is that of the input, ``'truth'`` that of the ground truth (validation
only); a number is the mean luma that the result should have."""

_BINS = 4095
_GAMMAS = (1 / 32, 32.0)


def wanted_brightness(brightness: Brightness, images: Tensor, truth: Tensor | None = None) -> Tensor:
    """Return the brightness that each result should have.

    Args:
        brightness: What is wanted.
        images: The dark images, (B, 3, H, W) in [0, 1].
        truth: The ground truth, likewise, for ``'truth'``.

    Returns:
        (B,) in (0, 1], or 0 where it is left to the model.

    Raises:
        InputError: ``'truth'`` without ground truth.

    Example:
        >>> wanted_brightness(0.4, torch.zeros(2, 3, 4, 4))
        tensor([0.4000, 0.4000])
    """
    if brightness == 'truth':
        if truth is None:
            raise InputError("brightness: 'truth' needs ground truth; give auto, keep or a number.")
        return mean_luma(truth)
    if brightness == 'keep':
        return mean_luma(images)
    if brightness == 'auto':
        return images.new_zeros(images.shape[0], dtype=torch.float32)
    return images.new_full((images.shape[0],), brightness, dtype=torch.float32)


def match_brightness(images: Tensor, wanted: Tensor) -> Tensor:
    """Bring images to a brightness by a power law, image = image^gamma; nothing clips.

    Args:
        images: (B, 3, H, W) in [0, 1].
        wanted: Mean luma of each result, (B,); 0 leaves an image as it is.

    Returns:
        Images whose mean luma is the wanted one to 1e-3; black and white images cannot change.

    Example:
        >>> dark = torch.linspace(0, 0.5, 48).view(1, 3, 4, 4)
        >>> round(mean_luma(match_brightness(dark, torch.tensor([0.6]))).item(), 3)
        0.6
    """
    return torch.stack([_matched(image, target.item()) for image, target in zip(images, wanted, strict=True)])


def _matched(image: Tensor, wanted: float) -> Tensor:
    if wanted == 0:
        return image
    levels, shares = _histogram(image)
    low, high = _GAMMAS
    for _ in range(40):
        gamma = (low * high) ** 0.5
        if (shares * levels**gamma).sum().item() > wanted:
            low = gamma
        else:
            high = gamma
    return image ** ((low * high) ** 0.5)


def _histogram(image: Tensor) -> tuple[Tensor, Tensor]:
    """Levels of an image and their shares in its mean luma, (3, bins) each, so that no gamma needs all pixels.

    The bins are even in the square root, fine enough that each level of an 8-bit image has its own.
    """
    indices = (image.sqrt() * _BINS).round().long().flatten(1)
    values = image.double().flatten(1)
    counts, sums = [], []
    for channel, index in zip(values, indices, strict=True):
        counts.append(torch.bincount(index, minlength=_BINS + 1))
        sums.append(torch.bincount(index, weights=channel, minlength=_BINS + 1))
    count = torch.stack(counts).double()
    weights = count.new_tensor(LUMA_WEIGHTS)[:, None] / values.shape[1]
    return torch.stack(sums) / count.clamp(min=1), weights * count
