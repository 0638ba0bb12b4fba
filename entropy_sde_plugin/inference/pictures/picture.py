"""A user's pictures in and out: samples as they are stored, with transparency, colour profile and EXIF.

Kept: 8 and 16 bits, gray, alpha, the ICC profile (embedded again; samples are never converted by it) and EXIF, whose
orientation is applied to the pixels. Converted: a palette becomes RGB, 1 to 7 bits of gray become 8, a transparent
colour becomes alpha. Told in ``Picture.notes``: whatever a file holds that will not be in the output. Refused:
everything in which a picture cannot be enhanced and given back (CMYK, CIELAB, floating point, animations, several
pages). XMP, IPTC, comments and thumbnails are not carried over.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile

from entropy_sde_plugin.data.image_files import MODES_OF_8_BITS, equal_frames, opened, orientation, sample_bits, turn
from entropy_sde_plugin.data.images import quiet_opencv
from entropy_sde_plugin.data.raw import RAW_SUFFIXES, develop, open_raw
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.formats import FORMATS
from entropy_sde_plugin.utils.atomic_file import atomic_file
from entropy_sde_plugin.utils.paths import not_a_file

__all__ = ['Picture', 'Samples', 'fit', 'read_picture', 'write_picture']

Samples = NDArray[np.uint8 | np.uint16]

_WITH_ALPHA = {'L': 'LA', 'RGB': 'RGBA'}


@dataclass(frozen=True)
class Picture:
    """A picture, upright.

    Attributes:
        rgb: Array of shape (H, W, 3), uint8 or uint16, RGB, full range; three equal channels if ``gray``.
        gray: Whether the file has one channel; the output has one then, the luma of ``rgb``.
        alpha: Array of shape (H, W), of the same type, 0 being transparent, or none. RGB is not premultiplied.
        icc_profile: The bytes of the colour profile, or none.
        exif: The bytes of the EXIF block from its TIFF header on, orientation 1, or none.
        notes: What will be missing or altered in the output, a phrase each.
    """

    rgb: Samples
    gray: bool = False
    alpha: Samples | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(path: Path) -> Picture:
    """Read a JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIF file, whatever its name, or a camera's raw file, by its suffix.

    Raises:
        InputError: The file cannot be read, is no such picture, is cut off or damaged, or holds what cannot be enhanced
            and given back.
    """
    if fault := not_a_file(path):  # a pipe would be waited for
        raise InputError(f'{path}: {fault}.')
    if path.suffix.lower() in RAW_SUFFIXES:
        return _develop(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}).') from None
    with _one_line_errors(path), opened(data) as file:
        is_gray, bits = _check(file, data)
        notes = _what_is_not_read(file, bits)
        decode, to_turn = _decoder(file, bits), _orientation_of_samples(file, bits)
        file.load()  # of 16-bit files too: Pillow finds damage in them that other decoders do not
        samples = turn(decode(file, data), to_turn)
        block = exif.from_file(file)
        if block is not None:
            try:
                block = exif.make_upright(block)
            except ValueError as error:
                notes, block = (*notes, f'the EXIF is damaged ({error}) and left out'), None
        rgb, alpha = _split(samples)
        return Picture(rgb, is_gray, alpha, file.info.get('icc_profile') or None, block, notes)


@contextmanager
def _one_line_errors(path: Path) -> Iterator[None]:
    """Put what is wrong with a file into one line; the errors of decoders have no common type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of large pictures and faulty EXIF, which are dealt with here
            yield
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    except MemoryError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(f'{path}: no JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC picture.') from None
    except PIL.Image.DecompressionBombError:
        limit = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise InputError(f'{path}: more than {limit} million pixels; cut it into parts first.') from None
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: damaged or cut off ({reason}); get the file again.') from None


def _check(file: Any, data: bytes) -> tuple[bool, int]:
    """Refuse what cannot be written back; return whether a file is gray, and its bits a channel: 8 or more."""
    if (frames := equal_frames(file)) > 1:
        raise InputError(f'{frames} pages or frames; save the one that is meant as a picture first.')
    if file.format == 'PNG':  # bit depth and colour type are in IHDR
        return data[25] in (0, 4), max(8, data[24])
    bits = max(8, sample_bits(file))
    if file.format == 'TIFF':
        _check_tiff(file.tag_v2, bits)
    if file.mode not in MODES_OF_8_BITS and not (bits == 16 and file.mode.startswith('I;16')):
        raise InputError(f'{file.mode} samples; convert it to RGB of 8 or 16 bits first.')
    return file.mode in ('1', 'L', 'LA') or file.mode.startswith('I;16'), bits


def _check_tiff(tags: Any, bits: int) -> None:
    if tags.get(Base.ExtraSamples, ()) not in ((), (2,)):
        raise InputError('channels beside the colours that are no plain (unassociated) alpha; flatten it first.')
    is_plain = tags.get(Base.PlanarConfiguration, 1) == 1 and tags.get(Base.PhotometricInterpretation) in (1, 2)
    if bits == 16 and not is_plain:
        raise InputError('16 bits in separate planes, or inverted; save it as interleaved RGB or gray first.')


def _what_is_not_read(file: Any, bits: int) -> tuple[str, ...]:
    notes = []
    if (count := getattr(file, 'n_frames', 1)) > 1:
        notes.append(f'the main one of its {count} pictures is taken (the others: preview, gain map or second eye)')
    if file.format == 'AVIF' and bits > 8:
        notes.append(f'its {bits} bits a channel are read as 8')
    return tuple(notes)


Decoder = Callable[[ImageFile, bytes], Samples]
"""(loaded file, its bytes) -> (H, W, C), C being 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha)."""


def _decoder(file: ImageFile, bits: int) -> Decoder:
    if bits == 8 or file.format == 'AVIF':
        return _decode_8_bits
    return _decode_deep_heif if file.format == 'HEIF' else _decode_16_bits


def _orientation_of_samples(file: Any, bits: int) -> int:
    """Return how decoded samples lie: Pillow turns TIFF files itself, and OpenCV those that have a tag."""
    is_upright = file.format == 'TIFF' and (bits == 8 or Base.Orientation in file.tag_v2)
    return 1 if is_upright else orientation(file)


def _decode_8_bits(file: ImageFile, data: bytes) -> NDArray[np.uint8]:
    mode = MODES_OF_8_BITS[file.mode]
    if file.has_transparency_data:
        mode = _WITH_ALPHA.get(mode, mode)
    return np.atleast_3d(np.asarray(file.convert(mode), dtype=np.uint8))


def _decode_16_bits(file: ImageFile, data: bytes) -> NDArray[np.uint16]:
    """Decode by OpenCV, since Pillow keeps 8 bits of a colour; C is not 2."""
    with quiet_opencv():
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ValueError('OpenCV cannot decode its 16 bits')
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}
    samples = np.atleast_3d(np.asarray(samples, np.uint16))
    return samples[..., order[samples.shape[2]]]


def _decode_deep_heif(file: ImageFile, data: bytes) -> NDArray[np.uint16]:
    """Decode 10 or 12 bits, spread over the range of 16."""
    import pi_heif  # which has opened the file already

    samples = np.asarray(pi_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False))
    top = 2 ** file.info['bit_depth'] - 1
    return np.atleast_3d((samples.astype(np.uint32) * 65535 + top // 2) // top).astype(np.uint16)


def _develop(path: Path) -> Picture:
    with open_raw(path) as raw:
        return Picture(develop(raw))


def _split(samples: Samples) -> tuple[Samples, Samples | None]:
    """Part (H, W, C) into RGB and alpha."""
    channels = samples.shape[2]
    rgb = samples[..., :3] if channels >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., -1] if channels in (2, 4) else None
    return np.ascontiguousarray(rgb), None if alpha is None else np.ascontiguousarray(alpha)


def fit(picture: Picture, suffix: str) -> Picture:
    """Leave out of a picture what a file format cannot hold, and note it.

    Args:
        picture: The picture. Its samples stay: the rounding to 8 bits, reported here, happens when it is written.
        suffix: The suffix of the file to be, e.g. ``'.jpg'``.

    Returns:
        The picture with ``notes`` added.

    Raises:
        InputError: The format would lose what cannot be left out: transparency, or a part of the picture.
    """
    form = FORMATS.get(suffix.lower())
    if form is None:
        raise InputError(f"pictures are not written as '{suffix}'. {suggestion(suffix, FORMATS)}")
    if max(picture.rgb.shape[:2]) > form.max_side:
        raise InputError(f'more than {form.max_side} pixels a side, which {suffix} cannot hold; write it as .png.')
    notes = list(picture.notes)
    alpha, profile, block = picture.alpha, picture.icc_profile, picture.exif
    if alpha is not None and not form.has_alpha:
        if alpha.min() < np.iinfo(alpha.dtype).max:
            raise InputError(f'transparent in parts, which {suffix} cannot hold; write it as .png.')
        alpha = None
    if picture.rgb.dtype == np.uint16 and not form.has_16_bits:
        notes.append(f'16 bits are rounded to the 8 of {suffix}')
    is_16_bit_with_alpha = picture.rgb.dtype == np.uint16 and alpha is not None
    has_gray = form.has_16_bit_gray_alpha if is_16_bit_with_alpha else form.has_gray
    if picture.gray and not has_gray and profile is not None and profile[16:20] == b'GRAY':  # ICC.1, section 7.2.6
        notes.append(f'its profile, for gray, does not suit the RGB of {suffix} and is left out')
        profile = None
    if block is not None and len(block) > form.max_exif:
        notes.append(f'its EXIF, {len(block)} bytes, is too long for {suffix} and left out')
        block = None
    return replace(picture, alpha=alpha, icc_profile=profile, exif=block, notes=tuple(notes))


def write_picture(picture: Picture, path: Path) -> None:
    """Write a picture in the format that the path's suffix names, whole or not at all; see ``fit``.

    PNG, WebP and TIFF are written without loss, JPEG with quality 95 and full chroma.

    Raises:
        InputError: The format cannot hold the picture.
        OSError: The file cannot be written.
    """
    try:
        fitted = fit(picture, path.suffix)
        data = FORMATS[path.suffix.lower()].encode(_join(fitted), fitted.icc_profile, fitted.exif)
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
