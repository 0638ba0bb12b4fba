"""Writing of raw planes as DNG files, and developing them."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from PIL.TiffTags import ASCII, BYTE, LONG, RATIONAL, SHORT, SIGNED_RATIONAL

from entropy_sde_plugin.data.raw import develop
from entropy_sde_plugin.data.raw_colour import camera_from_xyz
from entropy_sde_plugin.data.raw_frame import RawFrame
from entropy_sde_plugin.data.raw_packing import unpack_bayer
from entropy_sde_plugin.inference.pictures.tiff import assembled, strips_of, tags_of

__all__ = ['develop_planes', 'encode_dng']

_COLOUR_FILTER_ARRAY = 32803
_D65 = 21
_UNKNOWN = 'Unknown'

# Tags of TIFF/EP and of DNG 1.4 (Adobe, 2012), each with its type.
_CFA_REPEAT, _CFA_PATTERN = (33421, SHORT), (33422, BYTE)
_DNG_VERSION, _DNG_BACKWARD_VERSION = (50706, BYTE), (50707, BYTE)
_UNIQUE_CAMERA_MODEL = (50708, ASCII)
_BLACK_REPEAT, _BLACK, _WHITE = (50713, SHORT), (50714, SHORT), (50717, LONG)
_COLOUR_MATRIX, _NEUTRAL, _ILLUMINANT = (50721, SIGNED_RATIONAL), (50728, RATIONAL), (50778, SHORT)

_PHOTOGRAPHIC_COLOUR = np.array([0, 1, 2, 1], np.uint8)
"""LibRaw's colour index -> the tag's: 0 red, 1 green, 2 blue."""


def encode_dng(
    planes: NDArray[np.floating],
    frame: RawFrame,
    *,
    black: tuple[float, ...] | None = None,
    white: float | None = None,
    exif: bytes | None = None,
) -> bytes:
    """Encode planes as a DNG file with the colours, the orientation and the exposure of a frame.

    Args:
        planes: R, G, B, G, (4, H, W); what lies outside [0, 1] is clipped.
        frame: Where the pattern, the white balance, the matrix, orientation, exposure time and ISO come from.
        black: Black level of each plane, whole ADU; the frame's own by default.
        white: White level, likewise.
        exif: An EXIF block to keep.

    Returns:
        The file's bytes: a mosaic of 16 bits, not compressed.
    """
    black = frame.black if black is None else black
    white = frame.white if white is None else white
    pattern = np.asarray(frame.pattern)
    mosaic = unpack_bayer(planes, pattern, black, white)
    tags = tags_of(mosaic[..., None], exif)
    tags[Base.PhotometricInterpretation] = _COLOUR_FILTER_ARRAY
    tags[Base.Orientation] = frame.orientation
    for name in (Base.Make, Base.Model):
        tags[name] = tags.get(name) or _UNKNOWN
    if frame.metadata.exposure_time is not None:
        tags[Base.ExposureTime] = _rational(frame.metadata.exposure_time)
    if frame.metadata.iso is not None:
        tags[Base.ISOSpeedRatings] = round(min(frame.metadata.iso, 65535))
    gains = frame.metadata.white_balance
    _set(tags, _CFA_REPEAT, (2, 2))
    _set(tags, _CFA_PATTERN, _PHOTOGRAPHIC_COLOUR[pattern].tobytes())
    _set(tags, _DNG_VERSION, bytes((1, 4, 0, 0)))
    _set(tags, _DNG_BACKWARD_VERSION, bytes((1, 1, 0, 0)))
    _set(tags, _UNIQUE_CAMERA_MODEL, tags[Base.Model])
    _set(tags, _BLACK_REPEAT, (2, 2))
    _set(tags, _BLACK, tuple(round(black[colour]) for colour in pattern.flat))
    _set(tags, _WHITE, round(white))
    _set(tags, _COLOUR_MATRIX, tuple(map(_rational, camera_from_xyz(frame.metadata.matrix).flat)))
    _set(tags, _NEUTRAL, tuple(_rational(gains[1] / gain) for gain in gains[:3]))
    _set(tags, _ILLUMINANT, _D65)
    return assembled(tags, strips_of(mosaic[..., None]))


def develop_planes(planes: NDArray[np.floating], frame: RawFrame) -> NDArray[np.uint16]:
    """Develop planes as LibRaw would develop the frame; see :func:`~entropy_sde_plugin.data.raw.develop`.

    Args:
        planes: R, G, B, G, (4, H, W); what lies outside [0, 1] is clipped.
        frame: As in :func:`encode_dng`.

    Returns:
        Array of shape (2 H, 2 W, 3), or turned, uint16, RGB, full range.
    """
    import rawpy

    # All of 16 bits: few bits of a sensor would show as steps in what is brightened.
    data = encode_dng(planes, frame, black=(0.0,) * 4, white=65535.0)
    with rawpy.imread(io.BytesIO(data)) as raw:
        return develop(raw)


def _set(tags: ImageFileDirectory_v2, tag: tuple[int, int], value: Any) -> None:
    """Set a tag that Pillow does not know."""
    number, kind = tag
    tags.tagtype[number] = kind
    tags[number] = value


def _rational(value: float) -> IFDRational:
    fraction = Fraction(float(value)).limit_denominator(10**6)
    return IFDRational(fraction.numerator, fraction.denominator)
