"""Image files as Pillow opens them: size and orientation from their headers.

Every reader gets the orientation from here and turns the pixels itself, so that the header's size always equals the
decoded size. OpenCV would miss an orientation in XMP, and accept values that Pillow does not.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.extras import needs_extra

__all__ = ['MODES_OF_8_BITS', 'frame_count', 'opened', 'orientation', 'sample_bits', 'turn', 'upright_size']

# Pillow refuses a PNG file with a compressed text or colour profile of more than 1 MB, but not one with 64 MB of texts.
# The profiles of some printers, and the records of Photoshop that ImageMagick stores as text, are larger than 1 MB.
PIL.PngImagePlugin.MAX_TEXT_CHUNK = PIL.PngImagePlugin.MAX_TEXT_MEMORY

_FORMATS = ('PNG', 'JPEG', 'WEBP', 'TIFF', 'BMP', 'AVIF')
"""Pillow's names of the formats that it reads by itself."""

MODES_OF_8_BITS = {
    '1': 'L',
    'L': 'L',
    'LA': 'LA',
    'P': 'RGB',
    'PA': 'RGBA',
    'RGB': 'RGB',
    'RGBA': 'RGBA',
    'RGBX': 'RGB',
    'YCbCr': 'RGB',
}
"""Pillow's mode of a file of up to 8 bits -> the mode to convert it to, if it has no transparent colour."""

Sample = TypeVar('Sample', bound=np.generic)

_TIFF_SIGNATURES = (b'II*\0', b'MM\0*')

_PNG_DEPTH = 24
"""Where a PNG file holds its bit depth."""

_PNG_METADATA = (b'eXIf', b'Raw profile type', b'XML:com.adobe.xmp')
"""Where a PNG file may hold an orientation."""


@contextmanager
def opened(source: Path | bytes) -> Iterator[ImageFile]:
    """Open an image file without decoding it.

    Args:
        source: The file, or its bytes.

    Yields:
        Pillow's image, not loaded.

    Raises:
        InputError: The file is HEIF, and the extra that reads it is not installed; it is a TIFF whose samples Pillow
            does not read; or it has more pixels than Pillow opens.
        Exception: Pillow's decoders raise errors of no common type for a file that is not an image.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open('rb') as file:
        formats = _formats_of(file.read(64))
        file.seek(0)
        if formats == ('HEIF',):
            _check_items(file.read())
            file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of large images and faulty EXIF
            with _open(file, formats) as image:
                _scale_transparent_gray(image)
                yield image


def _open(file: BinaryIO, formats: tuple[str, ...]) -> ImageFile:
    try:
        return PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError:
        file.seek(0)
        if file.read(4) in _TIFF_SIGNATURES:
            raise InputError(
                'a TIFF that is damaged or cut off, or has floating-point samples or more than 16 bits a channel; '
                'convert it to 8 or 16 bits.'
            ) from None
        raise
    except PIL.Image.DecompressionBombError:
        limit = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise InputError(f'more than {limit} million pixels; cut it into parts first.') from None


def _scale_transparent_gray(image: ImageFile) -> None:
    """Scale the transparent colour of a PNG file of 2 or 4 bits of gray as Pillow scales its samples: to 8 bits."""
    colour = image.info.get('transparency')
    if image.format == 'PNG' and image.mode == 'L' and isinstance(colour, int):
        image.info['transparency'] = colour * 255 // (2 ** _png_bits(image) - 1)


def _formats_of(head: bytes) -> tuple[str, ...]:
    """Return the formats to try for a file that begins so (brands of HEIF: ISO/IEC 23008-12, section 10)."""
    is_heif = head[4:8] == b'ftyp' and (head[8:11] in (b'hei', b'hev') or head[8:12] in (b'mif1', b'msf1'))
    if not is_heif or b'avif' in head[: int.from_bytes(head[:4], 'big')]:
        return _FORMATS
    with needs_extra('heif'):
        import pi_heif
    pi_heif.register_heif_opener()
    return ('HEIF',)


def _check_items(data: bytes) -> None:
    """Refuse a HEIF file with an item whose type or content type is not text: pi_heif 1.4.0 ends the process there.

    Raises:
        UnicodeDecodeError: There is one (box infe, ISO/IEC 14496-12, section 8.11.6).
    """
    for match in re.finditer(rb'infe(?:\x02.{7}|\x03.{9})(.{4}[^\0]*\0[^\0]*)', data, re.DOTALL):
        match[1].decode()


def frame_count(image: ImageFile) -> int:
    """Return the number of pages or frames of an opened file, or 1 where one of them is the main image."""
    return 1 if image.format in ('MPO', 'HEIF') else getattr(image, 'n_frames', 1)


def sample_bits(image: ImageFile) -> int:
    """Return the bits per sample of an opened file; Pillow decodes at most 8 of them for colours.

    Raises:
        InputError: Samples are signed or floating-point, of an unusual depth, or of channels of no known kind.
    """
    if image.format == 'HEIF':
        return image.info['bit_depth']
    if image.format == 'AVIF':
        return _avif_bits(image)
    if image.format == 'PNG':
        return _png_bits(image)
    return _tiff_bits(_tiff_tags(image)) if image.format == 'TIFF' else 8


def _tiff_bits(tags: Any) -> int:
    if tags.get(Base.ExtraSamples, ()) not in ((), (2,)):
        raise InputError('channels beside the colours that are not plain (unassociated) alpha; flatten it first.')
    bits = max(tags.get(Base.BitsPerSample, (1,)))
    if set(tags.get(Base.SampleFormat, (1,))) != {1} or 8 < bits != 16:
        raise InputError(f'samples of {bits} bits, or signed or floating-point; convert it to 8 or 16 bits first.')
    return bits


def _avif_bits(image: ImageFile) -> int:
    """Read high_bitdepth and twelve_bit of the box av1C (AV1-ISOBMFF, section 2.3.3)."""
    file = image.fp
    assert file is not None  # it is not loaded
    file.seek(0)
    data = file.read()
    flags = data[data.index(b'av1C') + 6]
    return 8 + 2 * bool(flags & 0x40) + 2 * bool(flags & 0x20)


def _png_bits(image: ImageFile) -> int:
    """Read the bit depth in IHDR (PNG specification, section 11.2.1)."""
    file = image.fp
    assert file is not None  # it is not loaded
    position = file.tell()
    file.seek(_PNG_DEPTH)
    (bits,) = file.read(1)
    file.seek(position)
    return bits


def _tiff_tags(image: Any) -> Any:
    return image.tag_v2  # not declared in Pillow's base class


def orientation(image: ImageFile) -> int:
    """Return the orientation of an opened file: 1…8 as in EXIF (CIPA DC-008, section 4.6.4), 1 for any other value.

    It is read from EXIF, from TIFF's own tag, or, without either, from XMP.
    """
    try:
        if image.format == 'PNG' and not _has_metadata_after_pixels(image):
            exif = PIL.Image.Image.getexif(image)  # PngImageFile's decodes all pixels first
        else:
            exif = image.getexif()
    except (SyntaxError, ValueError):  # the block is not EXIF
        return 1
    value = exif.get(Base.Orientation, 1)
    return int(value) if value in range(1, 9) else 1


def _has_metadata_after_pixels(image: ImageFile) -> bool:
    """Tell whether an opened PNG file may hold an orientation after its pixels."""
    file = image.fp
    assert file is not None  # it is not loaded
    position = file.tell()
    try:
        file.seek(8)
        pixels_end = 8
        while len(head := file.read(8)) == 8:
            file.seek(int.from_bytes(head[:4], 'big') + 4, io.SEEK_CUR)
            if head[4:] == b'IDAT':
                pixels_end = file.tell()
        file.seek(pixels_end)
        rest = file.read()
    finally:
        file.seek(position)
    return any(mark in rest for mark in _PNG_METADATA)


def upright_size(image: ImageFile) -> tuple[int, int]:
    """Return (height, width) of an opened file once it is turned upright."""
    width, height = image.size
    if image.format == 'TIFF':  # Pillow swaps their size for the tag, but not for XMP
        width, height = (_tiff_tags(image)[tag] for tag in (Base.ImageWidth, Base.ImageLength))
    return (width, height) if orientation(image) >= 5 else (height, width)


def turn(samples: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Turn samples (H, W, ...) upright: rotations, and for 2, 4, 5 and 7 a mirroring first."""
    if orientation in (2, 4, 5, 7):
        samples = samples[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(samples, quarter_turns))
