"""Bright photographs turned back into what a sensor recorded (after Brooks et al., CVPR 2019, "Unprocessing")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.raw_noise.cameras import CameraName

__all__ = ['COLOUR_MATRICES', 'camera_from_srgb', 'unprocessed']

COLOUR_MATRICES: dict[CameraName, tuple[int, ...]] = {
    'CanonEOS5D4': (6446, -366, -864, -4436, 12204, 2513, -952, 2496, 6348),
    'CanonEOS70D': (7034, -804, -1014, -4420, 12564, 2058, -851, 1994, 5758),
    'CanonEOS700D': (6602, -841, -939, -4472, 12458, 2247, -975, 2039, 6148),
    'NikonD850': (10405, -3755, -1270, -5461, 13787, 1793, -1040, 2015, 6785),
    'SonyA7S2': (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
}
"""From XYZ to the camera's colours in daylight, times 10,000, as DNG files of these cameras carry them."""

_XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""IEC 61966-2-1."""

_PLACES = ((0, 0, 0), (0, 1, 1), (1, 1, 2), (1, 0, 1))
"""Row, column and colour of the planes R, G, B, G in a cell of the mosaic."""

_HIGHLIGHT = 0.9
"""From this gray on, white balance is undone less and less, so that what is clipped stays white."""


def camera_from_srgb(name: CameraName) -> NDArray[np.float64]:
    """Return the matrix from linear sRGB to a camera's colours, white to (1, 1, 1): (3, 3)."""
    matrix = np.reshape(COLOUR_MATRICES[name], (3, 3)) @ _XYZ_FROM_SRGB
    return matrix / matrix.sum(1, keepdims=True)


def unprocessed(
    photograph: NDArray[np.uint8], matrix: NDArray[np.floating], red_gain: float, blue_gain: float
) -> NDArray[np.float32]:
    """Return the packed raw image that a photograph may have been developed from, without noise.

    The tone curve (smoothstep), the power 2.2, the colour matrix and the white balance are undone in turn; then each
    pixel keeps its own colour of an RGGB mosaic.

    Args:
        photograph: RGB, uint8, (2 H, 2 W, 3).
        matrix: From linear sRGB to the camera's colours, (3, 3).
        red_gain: White balance of red, above 1.
        blue_gain: Of blue.

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
