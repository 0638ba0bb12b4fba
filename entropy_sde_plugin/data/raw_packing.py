"""Mosaics of a sensor as planes of one colour each, in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError

__all__ = ['RELEASED_WHITE', 'pack_bayer', 'pack_xtrans']

RELEASED_WHITE = 16383.0
"""White level that the released ExposureDiffusion takes for every camera."""

_XTRANS_BLACK = 1024.0

# Places (row, column) in the 6 x 6 cell, of the pixels at the plane's even and odd rows and columns: 00, 01, 10, 11.
_XTRANS_CELLS = (
    ((0, 0), (0, 4), (3, 1), (3, 3)),
    ((0, 2), (0, 5), (3, 2), (3, 5)),
    ((0, 1), (0, 3), (3, 0), (3, 4)),
    ((1, 2), (2, 5), (5, 2), (4, 5)),
    ((2, 2), (1, 5), (4, 2), (5, 5)),
)
_XTRANS_GREENS = ((1, 0), (1, 1), (2, 0), (2, 1))
"""Places of the remaining four planes, modulo 3."""


def pack_bayer(
    mosaic: NDArray[np.uint16],
    pattern: NDArray[np.integer],
    black: Sequence[float],
    white: float,
    *,
    keep_negative: bool = False,
) -> NDArray[np.float32]:
    """Pack a Bayer mosaic.

    Args:
        mosaic: Visible pixels, (H, W); of an odd side the last line is dropped.
        pattern: Colour indices of its upper left corner as LibRaw counts, (2, 2): 0 red, 1 green beside red, 2 blue,
            3 green beside blue.
        black: Black level of each colour index, ADU.
        white: White level, ADU; the release takes :data:`RELEASED_WHITE`.
        keep_negative: Keep values below black, which average to 0, where the release clips them.

    Returns:
        Planes of the colour indices 0…3, (4, H // 2, W // 2), each at most 1.

    Raises:
        InputError: A pattern that is none of Bayer's, or white not above black.

    Example:
        >>> mosaic = np.arange(8, dtype=np.uint16).reshape(2, 4)
        >>> pack_bayer(mosaic, np.array([[0, 1], [3, 2]]), [0, 0, 0, 0], 7)[:, 0, 0].round(2)
        array([0.  , 0.14, 0.71, 0.57], dtype=float32)
    """
    if pattern.shape != (2, 2) or sorted(pattern.flat) != [0, 1, 2, 3]:
        raise InputError(f'The pattern {pattern.tolist()} is not a Bayer pattern: only Bayer mosaics can be restored.')
    if max(black) >= white:
        raise InputError(f'The white level {white:g} must be above the black level {max(black):g}.', option='white')
    height, width = (side // 2 for side in mosaic.shape)
    planes = np.empty((4, height, width), np.float32)
    for (row, column), colour in np.ndenumerate(pattern):
        plane = planes[colour]
        plane[...] = mosaic[row : row + 2 * height : 2, column : column + 2 * width : 2]
        plane -= np.float32(black[colour])
        plane /= np.float32(white - black[colour])
    return np.clip(planes, None if keep_negative else 0, 1, out=planes)


def pack_xtrans(
    mosaic: NDArray[np.uint16], black: float = _XTRANS_BLACK, white: float = RELEASED_WHITE
) -> NDArray[np.float32]:
    """Pack an X-Trans mosaic as the released ExposureDiffusion does; no network or result for it is published.

    Args:
        mosaic: Visible pixels, (H, W), that begin at a cell; sides are cut to multiples of 6.
        black: Black level, ADU.
        white: White level, ADU.

    Returns:
        Nine planes, (9, H // 6 * 2, W // 6 * 2), in [0, 1].
    """
    rows, columns = (side // 6 for side in mosaic.shape)
    planes = np.empty((9, 2 * rows, 2 * columns), np.float32)
    cells = mosaic[: 6 * rows, : 6 * columns]
    for plane, places in zip(planes, _XTRANS_CELLS, strict=False):
        for index, (row, column) in enumerate(places):
            plane[index // 2 :: 2, index % 2 :: 2] = cells[row::6, column::6]
    for plane, (row, column) in zip(planes[len(_XTRANS_CELLS) :], _XTRANS_GREENS, strict=True):
        plane[...] = cells[row::3, column::3]
    planes -= np.float32(black)
    planes /= np.float32(white - black)
    return np.clip(planes, 0, 1, out=planes)
