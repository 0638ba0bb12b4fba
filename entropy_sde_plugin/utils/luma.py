"""Luma of RGB images."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['LUMA_WEIGHTS', 'mean_luma']

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""BT.601 weights of red, green and blue."""


def mean_luma(images: Tensor) -> Tensor:
    """Return the mean luma of each image, (B, 3, H, W) in [0, 1] -> (B,) in [0, 1].

    Example:
        >>> mean_luma(torch.full((2, 3, 4, 4), 0.25))
        tensor([0.2500, 0.2500])
    """
    means = images.mean((2, 3), dtype=torch.float32)
    return means @ means.new_tensor(LUMA_WEIGHTS)
