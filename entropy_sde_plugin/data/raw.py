"""Camera raw files: opening them, and developing what they hold into an RGB image.

Needs the extra ``raw`` (rawpy, LibRaw). Opening and developing are apart: whoever needs the mosaic itself opens a file
and takes ``raw_image_visible`` and its pattern; :mod:`.raw_frame` does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.extras import needs_extra
from entropy_sde_plugin.utils.paths import opens_as_utf8, regular

if TYPE_CHECKING:
    import rawpy

__all__ = ['FOREIGN_SUFFIXES', 'RAW_SUFFIXES', 'develop', 'developed_size', 'is_raw', 'open_raw', 'white_balance']

RAW_SUFFIXES = frozenset(
    {
        '.3fr', '.arw', '.cr2', '.cr3', '.crw', '.dcr', '.dng', '.erf', '.iiq', '.kdc', '.mef', '.mos', '.mrw', '.nef',
        '.nrw', '.orf', '.pef', '.raf', '.rw2', '.rwl', '.sr2', '.srf', '.srw',
    }
)  # fmt: skip
"""Suffixes of the files that LibRaw reads."""

FOREIGN_SUFFIXES = {
    '.raw': 'LibRaw would have to guess the size and the pattern of a file without a header',
    '.gpr': "LibRaw does not read GoPro's compression",
}
"""Suffixes of raw files that are refused, and why."""

_SRGB_CURVE = (2.4, 12.92)
"""Exponent and slope near black, as LibRaw takes them (IEC 61966-2-1)."""


def is_raw(path: Path) -> bool:
    """Return whether a file is named as a camera raw file that LibRaw reads.

    Example:
        >>> is_raw(Path('night.DNG')), is_raw(Path('night.jpg'))
        (True, False)
    """
    return path.suffix.lower() in RAW_SUFFIXES


@contextmanager
def open_raw(path: Path) -> Iterator[rawpy.RawPy]:
    """Open a raw file. Its pixels are read when they are asked for.

    Args:
        path: A file of a camera, or a DNG file.

    Yields:
        rawpy's object.

    Raises:
        InputError: rawpy is not installed, or, also in the block, the file is damaged, of a kind that LibRaw does not
            read, or without colours.
    """
    try:
        with needs_extra('raw'):
            import rawpy
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    try:
        with rawpy.imread(_source(path)) as raw:
            if raw.raw_type == rawpy.RawType.Flat and raw.raw_pattern is None:
                raise InputError(f'{path}: a raw file without colours (monochrome); develop it first.')
            yield raw
    except rawpy.LibRawError as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise InputError(
            f'{path}: not a raw file that LibRaw reads ({reason}); get the file again, or convert it to DNG.'
        ) from None


def _source(path: Path) -> str | io.BytesIO:
    """Return what rawpy opens: a name that is UTF-8, or the content of a file that has no such name."""
    try:
        file = regular(path)
        return str(file) if opens_as_utf8(file) else io.BytesIO(file.read_bytes())
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}).') from None


def developed_size(raw: rawpy.RawPy) -> tuple[int, int]:
    """Return (height, width) of the developed image, without reading the pixels."""
    sizes = raw.sizes
    lies = sizes.flip & 4  # rows and columns change places: orientations 5…8
    return (sizes.iwidth, sizes.iheight) if lies else (sizes.iheight, sizes.iwidth)


def develop(raw: rawpy.RawPy) -> NDArray[np.uint16]:
    """Develop an image as the camera was set, without brightening: its white balance, sRGB, upright.

    Returns:
        Array of shape (H, W, 3), uint16, RGB, full range.
    """
    developed = raw.postprocess(
        user_wb=white_balance(raw),
        output_bps=16,
        gamma=_SRGB_CURVE,
        no_auto_bright=True,
        adjust_maximum_thr=0,  # white is the camera's, whatever the brightest pixel
    )
    return np.asarray(developed, np.uint16)


def white_balance(raw: rawpy.RawPy) -> list[float]:
    """Return the gains of R, G, B, G: the camera's, or where it wrote none, those of daylight, or none at all."""
    for gains in (raw.camera_whitebalance, raw.daylight_whitebalance):
        red, green, blue, second_green = gains
        if min(red, green, blue) > 0:
            return [red, green, blue, second_green if second_green > 0 else green]
    return [1.0] * 4
