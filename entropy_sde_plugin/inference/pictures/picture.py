"""A user's images in and out: samples as they are stored, with transparency, colour profile, EXIF, XMP and IPTC.

Kept: 8 and 16 bits, gray, alpha, the ICC profile (embedded again; samples are never converted by it), EXIF, whose
orientation is applied to the pixels, XMP and IPTC. Converted: a palette becomes RGB, 1 to 7 bits of gray become 8, a
transparent colour becomes alpha. Told in ``Picture.notes``: whatever a file holds that will not be in the output.
Refused: everything in which an image cannot be enhanced and given back (CMYK, CIELAB, floating point, animations,
several pages). Comments and thumbnails are not carried over.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

from entropy_sde_plugin.data.image_files import opened
from entropy_sde_plugin.data.raw import develop, is_raw, open_raw
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.decoding import Samples, decode, split
from entropy_sde_plugin.inference.pictures.formats import FORMATS
from entropy_sde_plugin.inference.pictures.metadata import Metadata, metadata_of
from entropy_sde_plugin.utils.atomic_file import atomic_file
from entropy_sde_plugin.utils.paths import regular

__all__ = ['Picture', 'Samples', 'fit', 'read_picture', 'write_picture']


@dataclass(frozen=True)
class Picture:
    """An image, upright.

    Attributes:
        rgb: Array of shape (H, W, 3), uint8 or uint16, RGB, full range; three equal channels if ``gray``.
        gray: Whether the file has one channel; the output has one then, the luma of ``rgb``.
        alpha: Array of shape (H, W), of the same type, 0 being transparent, or none. RGB is not premultiplied.
        icc_profile: The bytes of the colour profile, or none.
        exif: The bytes of the EXIF block from its TIFF header on, orientation 1, or none.
        xmp: The bytes of the XMP packet, UTF-8, orientation 1, or none.
        iptc: The bytes of the IPTC records, or none.
        notes: What will be missing or altered in the output, a phrase each.
    """

    rgb: Samples
    gray: bool = False
    alpha: Samples | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width, _ = self.rgb.shape
        return height, width


def read_picture(path: Path) -> Picture:
    """Read a JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIF file, whatever its name, or a camera's raw file, by its suffix.

    Raises:
        InputError: The file cannot be read, is not an image, is cut off or damaged, or holds what cannot be enhanced
            and given back.
    """
    if is_raw(path):
        return _develop(path)
    try:
        data = regular(path).read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}).') from None
    with _one_line_errors(path), opened(data) as file:
        decoded = decode(file, data)
        metadata, notes = metadata_of(file)
        rgb, alpha = split(decoded.samples)
        return Picture(rgb, decoded.is_gray, alpha, *metadata, (*decoded.notes, *notes))


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Put what is wrong with a file into one line; the errors of decoders have no common type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of large images and faulty EXIF, which are dealt with here
            yield
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    except MemoryError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(
            f'{path}: not a JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC image of 8 or 16 bits a channel.'
        ) from None
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: damaged or cut off ({reason}); get the file again.') from None


def _develop(path: Path) -> Picture:
    with open_raw(path) as raw:
        rgb = develop(raw)
    block = exif.from_raw_file(path)
    return Picture(rgb, exif=block and exif.make_upright(block))


def fit(picture: Picture, suffix: str) -> Picture:
    """Leave out of an image what a file format cannot hold, and note it.

    Args:
        picture: The image. Its samples stay: the rounding to 8 bits, reported here, happens when it is written.
        suffix: The suffix of the file to be, e.g. ``'.jpg'``.

    Returns:
        The image with ``notes`` added.

    Raises:
        InputError: The format would lose what cannot be left out: transparency, or a part of the image.
    """
    form = FORMATS.get(suffix.lower())
    if form is None:
        raise InputError(f"images are not written as '{suffix}'. {suggestion(suffix, FORMATS)}")
    if max(picture.rgb.shape[:2]) > form.max_side:
        raise InputError(f'more than {form.max_side} pixels a side, which {suffix} cannot hold; write it as .png.')
    notes = list(picture.notes)
    alpha, profile = picture.alpha, picture.icc_profile
    if alpha is not None and not form.has_alpha:
        if alpha.min() < np.iinfo(alpha.dtype).max:
            raise InputError(f'partly transparent, which {suffix} cannot hold; write it as .png.')
        alpha = None
    if picture.rgb.dtype == np.uint16 and not form.has_16_bits:
        notes.append(f'16 bits are rounded to the 8 of {suffix}')
    is_16_bit_with_alpha = picture.rgb.dtype == np.uint16 and alpha is not None
    has_gray = form.has_16_bit_gray_alpha if is_16_bit_with_alpha else form.has_gray
    if picture.gray and not has_gray and profile is not None and profile[16:20] == b'GRAY':  # ICC.1, section 7.2.6
        notes.append(f'its profile, for gray, does not suit the RGB of {suffix} and is left out')
        profile = None
    kept: dict[str, bytes | None] = {}
    for name, most in (('exif', form.max_exif), ('xmp', form.max_xmp), ('iptc', form.max_iptc)):
        block: bytes | None = getattr(picture, name)
        kept[name] = block
        if block is not None and len(block) > most:
            fault = f'{len(block)} bytes, is too long for {suffix} and' if most else f'which {suffix} cannot hold, is'
            notes.append(f'its {name.upper()}, {fault} left out')
            kept[name] = None
    return replace(picture, alpha=alpha, icc_profile=profile, **kept, notes=tuple(notes))


def write_picture(picture: Picture, path: Path) -> None:
    """Write an image in the format that the path's suffix names, whole or not at all; see ``fit``.

    PNG, WebP and TIFF are written without loss, JPEG with quality 95 and full chroma.

    Raises:
        InputError: The format cannot hold the image.
        OSError: The file cannot be written.
    """
    try:
        fitted = fit(picture, path.suffix)
        metadata = Metadata(fitted.icc_profile, fitted.exif, fitted.xmp, fitted.iptc)
        data = FORMATS[path.suffix.lower()].encode(_join(fitted), metadata)
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    with atomic_file(path) as file:
        file.write(data)


def _join(picture: Picture) -> Samples:
    """Return gray or RGB, and alpha where there is one, as (H, W, C)."""
    colour = picture.rgb
    if picture.gray:
        colour = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), colour.dtype)[..., None]
    return colour if picture.alpha is None else np.dstack((colour, picture.alpha))
