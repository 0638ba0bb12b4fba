"""Mosaics of a sensor as planes of one colour each, in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError

__all__ = ['RELEASED_WHITE', 'RGGB', 'from_rggb', 'pack_bayer', 'pack_xtrans', 'to_rggb', 'unpack_bayer']

RELEASED_WHITE = 16383.0
"""White level that the released ExposureDiffusion takes for every camera."""

RGGB = ((0, 1), (3, 2))
"""The most frequent Bayer pattern, in LibRaw's colour indices."""

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
        InputError: A pattern that is not Bayer's, or white not above black.

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


def unpack_bayer(
    planes: NDArray[np.floating], pattern: NDArray[np.integer], black: Sequence[float], white: float
) -> NDArray[np.uint16]:
    """Unpack planes into a Bayer mosaic, the inverse of :func:`pack_bayer`.

    Args:
        planes: Planes of the colour indices 0…3, (4, H, W); what lies outside [0, 1] is clipped.
        pattern: Colour indices of the upper left corner, (2, 2).
        black: Black level of each colour index, ADU.
        white: White level, ADU.

    Returns:
        The mosaic, (2 H, 2 W), rounded to the nearest ADU.

    Example:
        >>> mosaic = np.arange(8, dtype=np.uint16).reshape(2, 4)
        >>> planes = pack_bayer(mosaic, np.array(RGGB), [0, 0, 0, 0], 7)
        >>> unpack_bayer(planes, np.array(RGGB), [0, 0, 0, 0], 7).tolist()
        [[0, 1, 2, 3], [4, 5, 6, 7]]
    """
    height, width = planes.shape[1:]
    mosaic = np.empty((2 * height, 2 * width), np.uint16)
    for (row, column), colour in np.ndenumerate(pattern):
        values = planes[colour].clip(0, 1) * (white - black[colour]) + black[colour]
        mosaic[row::2, column::2] = np.rint(values)
    return mosaic


def to_rggb(planes: NDArray[np.float32], pattern: NDArray[np.integer]) -> NDArray[np.float32]:
    """Pack the planes of any Bayer pattern as those of RGGB, on which networks are trained.

    The planes of a pattern lie half a pixel apart from each other, in directions that depend on the pattern. Here the
    mosaic begins one line earlier where red would not be first; the new lines mirror the mosaic.

    Args:
        planes: (4, H, W).
        pattern: Colour indices of the upper left corner, (2, 2).

    Returns:
        (4, H or H + 1, W or W + 1).

    Example:
        >>> planes = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
        >>> bggr = np.array([[2, 3], [1, 0]])
        >>> to_rggb(planes, bggr).shape, bool((from_rggb(to_rggb(planes, bggr), bggr) == planes).all())
        ((4, 3, 3), True)
    """
    return np.stack([np.pad(plane, added, 'edge') for plane, added in zip(planes, _added(pattern), strict=True)])


def from_rggb(planes: NDArray[np.float32], pattern: NDArray[np.integer]) -> NDArray[np.float32]:
    """Undo :func:`to_rggb`."""
    kept = [
        tuple(slice(front, side - back) for (front, back), side in zip(added, planes.shape[1:], strict=True))
        for added in _added(pattern)
    ]
    return np.stack([plane[place] for plane, place in zip(planes, kept, strict=True)])


def _added(pattern: NDArray[np.integer]) -> list[list[tuple[int, int]]]:
    """For each colour index and axis: how many lines :func:`to_rggb` adds in front and behind."""
    places = [np.argwhere(pattern == colour)[0].tolist() for colour in range(4)]
    return [[(red * own, red * (1 - own)) for own, red in zip(place, places[0], strict=True)] for place in places]


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
