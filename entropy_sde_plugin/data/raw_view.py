"""Packed raw planes as an image to look at."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ['developed', 'eight_bits', 'light', 'viewed']

_LEAST = 1e-8
"""Of linear light: the power has no slope at 0."""


def developed(
    planes: NDArray[np.floating], white_balance: NDArray[np.floating], matrix: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Develop packed planes at half the sensor's size, as the released ExposureDiffusion shows them.

    Args:
        planes: R, G, B, G in [0, 1], (4, H, W); values outside are clipped.
        white_balance: Gains of R, G, B, G; only their ratios to the first green count.
        matrix: From the camera's colours to linear sRGB, (3, 3).

    Returns:
        RGB, uint8, (H, W, 3), rounded down.

    Example:
        >>> developed(np.full((4, 1, 1), 0.5), np.ones(4), np.eye(3)).tolist()
        [[[186, 186, 186]]]
    """
    arrays = (np.asarray(each, np.float64)[None] for each in (planes, white_balance, matrix))
    return eight_bits(viewed(*map(torch.from_numpy, arrays))[0])


def eight_bits(view: Tensor) -> NDArray[np.uint8]:
    """Return one image of :func:`viewed`, (3, H, W), as RGB, uint8, (H, W, 3), rounded down."""
    return (view * 255).floor().permute(1, 2, 0).cpu().numpy().astype(np.uint8)


def viewed(planes: Tensor, white_balance: Tensor, matrix: Tensor) -> Tensor:
    """Develop packed planes, with gradient: their :func:`light`, to the power 1/2.2 in place of the curve of sRGB.

    Args:
        planes: R, G, B, G in [0, 1], (B, 4, H, W); values outside are clipped.
        white_balance: Gains of R, G, B, G, (B, 4); only their ratios to the first green count.
        matrix: From the camera's colours to linear sRGB, (B, 3, 3).

    Returns:
        RGB, (B, 3, H, W), in [0, 1].
    """
    return light(planes, white_balance, matrix).clamp_min(_LEAST) ** (1 / 2.2)


def light(planes: Tensor, white_balance: Tensor, matrix: Tensor) -> Tensor:
    """Return the linear light of packed planes: white balance, the mean of both greens, the camera's colour matrix.

    Arguments as of :func:`viewed`.

    Returns:
        Linear RGB, (B, 3, H, W), in [0, 1].
    """
    gains = white_balance / white_balance[:, 1:2]
    red, green, blue, second_green = (planes * gains[:, :, None, None]).clamp(0, 1).unbind(1)
    linear = torch.stack([red, (green + second_green) / 2, blue], dim=1)
    return torch.einsum('bij,bjhw->bihw', matrix, linear).clamp(0, 1)
