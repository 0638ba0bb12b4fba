"""The colours of a camera and those of sRGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ['camera_from_srgb', 'camera_from_xyz']

_XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""IEC 61966-2-1."""


def camera_from_srgb(camera_from_xyz: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the matrix from linear sRGB to a camera's colours after white balance.

    Args:
        camera_from_xyz: From XYZ to the camera's colours in daylight, (3, 3), as the tag ColorMatrix of DNG files.

    Returns:
        (3, 3); rows sum to 1, so that white is (1, 1, 1) in both.

    Example:
        >>> camera_from_srgb(np.array([[0.9, -0.3, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]])).sum(1).round(6)
        array([1., 1., 1.])
    """
    matrix = camera_from_xyz @ _XYZ_FROM_SRGB
    return matrix / matrix.sum(1, keepdims=True)


def camera_from_xyz(srgb_from_camera: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the matrix from XYZ to a camera's colours that belongs to one from them to linear sRGB.

    Args:
        srgb_from_camera: (3, 3), the inverse of :func:`camera_from_srgb`.

    Returns:
        (3, 3), in the scale of the camera's colours after white balance.

    Example:
        >>> matrix = np.array([[1.6, -0.4, -0.2], [-0.2, 1.4, -0.2], [0.0, -0.5, 1.5]])
        >>> np.linalg.inv(camera_from_srgb(camera_from_xyz(matrix))).round(6)[0]
        array([ 1.6, -0.4, -0.2])
    """
    return np.linalg.inv(_XYZ_FROM_SRGB @ srgb_from_camera).astype(np.float64)
