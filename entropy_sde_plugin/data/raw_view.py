"""Packed raw planes as an image to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ['developed']


def developed(
    planes: NDArray[np.floating], white_balance: NDArray[np.floating], matrix: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Develop packed planes at half the sensor's size, as the released ExposureDiffusion shows them.

    White balance, the mean of both greens, the camera's colour matrix, then the power 1/2.2 in place of the curve of
    sRGB.

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
    balanced = (planes * (white_balance / white_balance[1])[:, None, None]).clip(0, 1)
    linear = np.stack([balanced[0], (balanced[1] + balanced[3]) / 2, balanced[2]])
    srgb_light = np.tensordot(linear, matrix, axes=(0, 1)).clip(0, 1)
    return np.floor(255 * np.maximum(srgb_light, 1e-8) ** (1 / 2.2)).astype(np.uint8)
