"""Bright photographs turned back into what a sensor recorded (after Brooks et al., CVPR 2019, "Unprocessing")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ['unprocessed']

_PLACES = ((0, 0, 0), (0, 1, 1), (1, 1, 2), (1, 0, 1))
"""Row, column and colour of the planes R, G, B, G in a cell of the mosaic."""

_HIGHLIGHT = 0.9
"""From this gray on, white balance is undone less and less, so that what is clipped stays white."""


def unprocessed(
    photograph: NDArray[np.uint8], matrix: NDArray[np.floating], red_gain: float, blue_gain: float
) -> NDArray[np.float32]:
    """Return the packed raw image that a photograph may have been developed from, without noise.

    The tone curve (smoothstep), the power 2.2, the colour matrix and the white balance are undone in turn; then each
    pixel keeps its own colour of an RGGB mosaic.

    Args:
        photograph: RGB, uint8, (2 H, 2 W, 3).
        matrix: From linear sRGB to the camera's colours, (3, 3), rows sum to 1.
        red_gain: White balance of red, above 1.
        blue_gain: White balance of blue.

    Returns:
        Planes R, G, B, G, float32, (4, H, W), in [0, 1].

    Example:
        >>> planes = unprocessed(np.full((4, 4, 3), 255, np.uint8), np.eye(3), 2.0, 1.5)
        >>> planes.shape, float(planes.min())
        ((4, 2, 2), 1.0)
    """
    levels = np.arange(256, dtype=np.float32) / 255
    linear_levels = (0.5 - np.sin(np.arcsin(1 - 2 * levels) / 3)) ** np.float32(2.2)
    undone = np.array([1 / red_gain, 1, 1 / blue_gain], np.float32)
    height, width = (side // 2 for side in photograph.shape[:2])
    planes = np.empty((len(_PLACES), height, width), np.float32)
    for plane, (row, column, colour) in zip(planes, _PLACES, strict=True):
        linear = linear_levels[photograph[row::2, column::2]]
        values, gray = np.moveaxis(linear @ np.stack([matrix[colour], matrix.mean(0)]).T.astype(np.float32), -1, 0)
        highlight = (np.maximum(gray - _HIGHLIGHT, 0) / (1 - _HIGHLIGHT)) ** 2
        plane[...] = values * np.maximum(highlight + (1 - highlight) * undone[colour], undone[colour])
    return planes.clip(0, 1)
