"""Luma of RGB images."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['LUMA_WEIGHTS', 'luma', 'mean_luma']

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""BT.601 weights of red, green and blue."""


def luma(images: Tensor) -> Tensor:
    """Return the luma of each pixel, (B, 3, H, W) -> (B, 1, H, W).

    Example:
        >>> luma(torch.tensor([1.0, 0.0, 0.5]).view(1, 3, 1, 1)).flatten()
        tensor([0.3560])
    """
    return torch.einsum('bchw,c->bhw', images, images.new_tensor(LUMA_WEIGHTS))[:, None]


def mean_luma(images: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean luma of each image, (B, 3, H, W) in [0, 1] -> (B,) in [0, 1].

    Args:
        images: The images.
        weights: Weight of each pixel, (B, 1, H, W); the mean of an image without weight is 0.

    Example:
        >>> mean_luma(torch.full((2, 3, 4, 4), 0.25))
        tensor([0.2500, 0.2500])
    """
    if weights is None:
        means = images.mean((2, 3), dtype=torch.float32)
    else:
        sums = torch.einsum('bchw,bhw->bc', images, weights[:, 0])
        means = sums / weights.sum((2, 3)).clamp(min=torch.finfo().tiny)
    return means @ means.new_tensor(LUMA_WEIGHTS)
