"""What a raw file says: its mosaic as planes, and what is needed to restore and to develop them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from entropy_sde_plugin.data.raw import open_raw, white_balance
from entropy_sde_plugin.data.raw_colour import camera_from_srgb
from entropy_sde_plugin.data.raw_packing import RGGB, pack_bayer
from entropy_sde_plugin.errors import InputError

if TYPE_CHECKING:
    import rawpy

__all__ = ['RawFrame', 'RawMetadata', 'planes_size', 'read_frame', 'read_metadata', 'value_range']

_EXIF_SECTION = 0x8769
_ISO = 0x8827

_BAYER_COLOURS = b'RGBG'

_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's number by LibRaw's, whose bits are: mirror the columns, mirror the rows, swap both first."""


@dataclass(frozen=True)
class RawMetadata:
    """What a raw file says of its exposure.

    Attributes:
        iso: None where the file does not say.
        exposure_time: Seconds; None where the file does not say.
        white_balance: Gains of R, G, B, G, (4,).
        matrix: From the camera's colours to linear sRGB, (3, 3); the unit matrix where neither the file nor LibRaw
            knows one that can be inverted.
    """

    iso: float | None
    exposure_time: float | None
    white_balance: NDArray[np.float32]
    matrix: NDArray[np.float32]


@dataclass(frozen=True)
class RawFrame:
    """A raw file.

    Attributes:
        planes: R, G, B, G, float32, (4, H, W), at most 1.
        black: Black level of each plane, ADU.
        white: White level, ADU.
        metadata: What the file says of its exposure.
        pattern: Colour indices of the planes in the upper left corner of the mosaic, row by row.
        orientation: How the mosaic is to be turned, 1…8 as in EXIF.
    """

    planes: NDArray[np.float32]
    black: tuple[float, ...]
    white: float
    metadata: RawMetadata
    pattern: tuple[tuple[int, ...], ...] = RGGB
    orientation: int = 1

    @property
    def value_range(self) -> float:
        """White less the mean black level, ADU."""
        return value_range(self.white, self.black)


def value_range(white: float, black: Sequence[float]) -> float:
    """Return the white level less the mean of the black levels, ADU."""
    return white - sum(black) / len(black)


def read_frame(path: Path, *, white: float | None = None, keep_negative: bool = False, rggb: bool = False) -> RawFrame:
    """Read the visible area of a Bayer raw file as planes. Where a side is odd, its last line is left out.

    Args:
        path: The file.
        white: White level in ADU; the file's own by default.
        keep_negative: Keep values below black.
        rggb: Leave out the first row or column where red is not in it, so that the planes lie as those of RGGB.

    Raises:
        InputError: rawpy is not installed, or the file is damaged or holds no Bayer mosaic; see :func:`.raw.open_raw`.
    """
    with open_raw(path) as raw:
        _check_bayer(raw, path)
        level = float(raw.white_level) if white is None else white
        black = tuple(map(float, raw.black_level_per_channel))
        row, column = _first_pixel(raw, rggb=rggb)
        pattern = np.roll(np.asarray(raw.raw_pattern), (-row, -column), (0, 1))
        mosaic = raw.raw_image_visible[row:, column:]
        try:
            planes = pack_bayer(mosaic, pattern, black, level, keep_negative=keep_negative)
        except InputError as error:
            raise InputError(f'{path}: {error}', error.option) from None
        rows = tuple(map(tuple, pattern.tolist()))
        return RawFrame(planes, black, level, _metadata(raw, path), rows, _ORIENTATIONS[raw.sizes.flip])


def _check_bayer(raw: rawpy.RawPy, path: Path) -> None:
    if raw.raw_pattern is None:
        found = 'a linear raw file, whose colours are mixed already'
    elif raw.raw_pattern.shape != (2, 2):
        found = 'an X-Trans mosaic'
    elif raw.color_desc != _BAYER_COLOURS or sorted(raw.raw_pattern.flat) != [0, 1, 2, 3]:
        found = f'a mosaic of the colours {raw.color_desc.decode()} in the pattern {raw.raw_pattern.tolist()}'
    else:
        return
    raise InputError(f'{path}: {found}; only Bayer mosaics can be restored as raw images.')


def _first_pixel(raw: rawpy.RawPy, *, rggb: bool) -> tuple[int, int]:
    """Row and column of the visible area at which the planes begin: its corner, or the first red pixel."""
    if not rggb:
        return 0, 0
    row, column = np.argwhere(np.asarray(raw.raw_pattern) == 0)[0]
    return int(row), int(column)


def planes_size(path: Path, *, rggb: bool = False) -> tuple[int, int]:
    """Return (height, width) of a raw file's planes, without reading its pixels.

    Args:
        path: The file.
        rggb: As in :func:`read_frame`.

    Raises:
        InputError: As :func:`read_frame`.
    """
    with open_raw(path) as raw:
        _check_bayer(raw, path)
        row, column = _first_pixel(raw, rggb=rggb)
        return (raw.sizes.height - row) // 2, (raw.sizes.width - column) // 2


def read_metadata(path: Path) -> RawMetadata:
    """Read what a raw file says of its exposure, without its pixels.

    Raises:
        InputError: As :func:`read_frame`.
    """
    with open_raw(path) as raw:
        return _metadata(raw, path)


def _metadata(raw: rawpy.RawPy, path: Path) -> RawMetadata:
    return RawMetadata(
        iso=_stated(raw.other.iso_speed) or _stated(_iso_in_tags(path)),
        exposure_time=_stated(raw.other.shutter_speed),
        white_balance=np.asarray(white_balance(raw), np.float32),
        matrix=_matrix(raw),
    )


def _stated(value: Any) -> float | None:
    """A number of a tag; None if that is not a finite number above 0, and so says nothing."""
    try:
        number = float(value)
    except (TypeError, ValueError):  # absent, text or bytes
        return None
    return number if 0 < number < math.inf else None


def _matrix(raw: rawpy.RawPy) -> NDArray[np.float32]:
    """Return the matrix to sRGB: the file's own, as of DNG, or else that of LibRaw's table of cameras."""
    own, tabulated = raw.color_matrix[:, :3], raw.rgb_xyz_matrix[:3]
    if np.isfinite(own).all() and np.linalg.matrix_rank(own) == 3:  # colours that one matrix merges are not recovered
        return np.asarray(own, np.float32)
    return np.linalg.inv(camera_from_srgb(tabulated) if tabulated.any() else np.eye(3)).astype(np.float32)


def _iso_in_tags(path: Path) -> Any:
    """Return what a file of TIFF's form holds as ISO: LibRaw does not read it outside the EXIF section."""
    exif = Image.Exif()
    with path.open('rb') as file:
        if file.read(4) not in (b'II*\0', b'MM\0*'):
            return None
        file.seek(0)
        exif.load_from_fp(file)
        value = exif.get(_ISO) or exif.get_ifd(_EXIF_SECTION).get(_ISO)
    return value[0] if value and isinstance(value, tuple) else value
