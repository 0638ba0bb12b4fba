"""Brightness of results, as mean luma: which one is wanted, and how a result is brought to it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.luma import LUMA_WEIGHTS, mean_luma

__all__ = [
    'AUTOMATIC_LEAST',
    'HIGHEST',
    'LOWEST',
    'Brightness',
    'automatic_brightness',
    'match_brightness',
    'wanted_brightness',
]

LOWEST, HIGHEST = 0.05, 0.95
"""The range of a wanted brightness that is given as a number."""

Brightness = Literal['model', 'auto', 'keep', 'truth'] | Annotated[float, msgspec.Meta(ge=LOWEST, le=HIGHEST)]
"""``'model'`` leaves it to the model; ``'auto'`` corrects that choice (:func:`automatic_brightness`); ``'keep'`` is the
input's; ``'truth'`` the ground truth's (validation only); a number is the mean luma that the result should have."""

AUTOMATIC_LEAST = 0.35
"""The least mean luma of a brightened image under ``'auto'``. Chosen on scenes that are in no table: held-out ones of
LOL's training set gain 1.0 dB, the demonstration's photographs stay as they are."""

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
    if brightness in ('model', 'auto'):
        return images.new_zeros(images.shape[0], dtype=torch.float32)
    return images.new_full((images.shape[0],), brightness, dtype=torch.float32)


def automatic_brightness(chosen: Tensor, present: Tensor, dark: Tensor) -> Tensor:
    """Return the brightness that a model chose, but at least :data:`AUTOMATIC_LEAST`.

    One dark image says little about how bright its scene was, and models err towards dark. An image that the model
    brightened less than twofold is corrected less, and one that it left alone not at all. The correction is also
    proportional to the share of the image that was dark.

    Args:
        chosen: Mean luma of the model's results, (B,).
        present: That of the dark images.
        dark: Share of the pixels that are dark.

    Returns:
        Wanted mean luma, (B,).

    Example:
        >>> automatic_brightness(torch.tensor([0.25, 0.5, 0.3]), torch.tensor([0.05, 0.1, 0.3]), torch.ones(3))
        tensor([0.3500, 0.5000, 0.3000])
    """
    doublings = torch.log2(chosen.clamp(min=1e-3) / present.clamp(min=1e-3))
    return torch.lerp(chosen, chosen.clamp(min=AUTOMATIC_LEAST), dark * doublings.clamp(0, 1))


def match_brightness(images: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
    """Bring images to a brightness by a power law, image = image^gamma; nothing clips.

    Args:
        images: (B, 3, H, W) in [0, 1].
        wanted: Mean luma of each result, (B,); 0 leaves an image as it is.
        weights: Weight of each pixel in that mean, (B, 1, H, W).

    Returns:
        Images whose mean luma is the wanted one to 1e-3; black and white images cannot change.

    Example:
        >>> dark = torch.linspace(0, 0.5, 48).view(1, 3, 4, 4)
        >>> round(mean_luma(match_brightness(dark, torch.tensor([0.6]))).item(), 3)
        0.6
    """
    each = [None] * len(images) if weights is None else [weight.cpu().double().flatten() for weight in weights]
    return torch.stack([_matched(*image) for image in zip(images, wanted.tolist(), each, strict=True)])


def _matched(image: Tensor, wanted: float, weight: Tensor | None) -> Tensor:
    if wanted == 0:
        return image
    # On the CPU: MPS has no float64, and every turn of the search would wait for a GPU.
    levels, shares = _histogram(image.cpu(), weight)
    low, high = _GAMMAS
    for _ in range(40):
        gamma = (low * high) ** 0.5
        if (shares * levels**gamma).sum().item() > wanted:
            low = gamma
        else:
            high = gamma
    return image ** ((low * high) ** 0.5)


def _histogram(image: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Levels of an image and their shares in its mean luma, (3, bins) each, so that no gamma needs all pixels.

    The bins are even in the square root, fine enough that each level of an 8-bit image has its own.
    """
    indices = (image.sqrt() * _BINS).round().long().flatten(1)
    values = image.double().flatten(1)
    counts, sums = [], []
    for channel, index in zip(values, indices, strict=True):
        weighted = channel if weight is None else channel * weight
        counts.append(torch.bincount(index, weights=weight, minlength=_BINS + 1).double())
        sums.append(torch.bincount(index, weights=weighted, minlength=_BINS + 1))
    count = torch.stack(counts)
    shares = count / count.sum(1, keepdim=True) * count.new_tensor(LUMA_WEIGHTS)[:, None]
    return torch.stack(sums) / count.clamp(min=torch.finfo(count.dtype).tiny), shares
