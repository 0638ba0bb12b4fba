"""Reading and encoding of image files, as 8-bit RGB arrays; nothing is silently reduced."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from entropy_sde_plugin.data.image_files import (
    MODES_OF_8_BITS,
    frame_count,
    opened,
    orientation,
    sample_bits,
    turn,
    upright_size,
)
from entropy_sde_plugin.data.raw import RAW_SUFFIXES, develop, developed_size, is_raw, open_raw
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.paths import not_a_file

__all__ = [
    'IMAGE_SUFFIXES',
    'RGBImage',
    'decode',
    'encode',
    'encode_png',
    'header_size',
    'quiet_opencv',
    'read',
    'to_8_bits',
]

RGBImage = NDArray[np.uint8]
"""An image of shape (H, W, 3), RGB, 0…255."""

IMAGE_SUFFIXES = RAW_SUFFIXES | {
    '.avif', '.bmp', '.heic', '.heif', '.hif', '.jfif', '.jif', '.jpe', '.jpeg', '.jpg', '.png', '.tif', '.tiff',
    '.webp',
}  # fmt: skip
"""Suffixes of the files that are taken for images, in lower case."""

_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


def decode(data: bytes, where: str) -> RGBImage:
    """Decode an image file.

    A gray image becomes three equal channels, the EXIF orientation is applied, and a fully opaque alpha channel is
    dropped.

    Args:
        data: The bytes of the file.
        where: Its file or database and key, for messages.

    Returns:
        Array of shape (H, W, 3), uint8, RGB.

    Raises:
        InputError: The bytes are not an image, truncated or damaged, have more than 8 bits per channel, are neither
            gray nor RGB, such as CMYK, have several pages or frames, or are partly transparent.
    """
    if data.startswith(_PNG_SIGNATURE) and not _png_is_whole(data):  # libpng would report it on standard error
        raise _unreadable(where)
    with _header(data, where) as file:
        turned = 1 if file.format == 'TIFF' else orientation(file)  # Pillow turns TIFF files itself
        is_fast = file.format in ('PNG', 'WEBP')
        return turn(_decode_by_opencv(file, data, where) if is_fast else _decode_by_pillow(file, where), turned)


def _decode_by_opencv(file: ImageFile, data: bytes, where: str) -> RGBImage:
    """Decode without applying the orientation: faster than Pillow, but blind to damage in JPEG, and to some of its
    formats.
    """
    image = _imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise _unreadable(where)
    if file.has_transparency_data:
        _check_opaque(_loaded(file, where), where)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode_by_pillow(file: ImageFile, where: str) -> RGBImage:
    """Decode without applying the orientation, except for TIFF files, where Pillow applies it."""
    _loaded(file, where)
    if file.has_transparency_data:
        _check_opaque(file, where)
    return np.array(file.convert('RGB'))


def _loaded(file: ImageFile, where: str) -> ImageFile:
    try:
        file.load()
    except Exception:  # the errors of Pillow's decoders have no common type
        raise _unreadable(where) from None
    return file


def to_8_bits(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Round samples of 16 bits to the nearest of 8."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _unreadable(where: str) -> InputError:
    return InputError(f'{where}: not a readable image (damaged or truncated); get the file again.')


def _check_opaque(file: ImageFile, where: str) -> None:
    if np.asarray(file.convert('RGBA'))[..., 3].min() < 255:
        raise InputError(f'{where}: partly transparent; flatten it onto a background first.')


def _png_is_whole(data: bytes) -> bool:
    """Check the checksums of the critical chunks, up to IEND: OpenCV would decode a flipped bit as a colour."""
    view, start = memoryview(data), len(_PNG_SIGNATURE)
    while start + 12 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], 'big'), data[start + 4 : start + 8]
        end = start + 8 + length
        is_critical = kind[:1].isupper()
        if is_critical and zlib.crc32(view[start + 4 : end]) != int.from_bytes(data[end : end + 4], 'big'):
            return False
        if kind == b'IEND':
            return True
        start = end + 4
    return False


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    if not data:
        return None
    with quiet_opencv():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # e.g. a damaged header that asks for more pixels than OpenCV allows
            return None


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from reporting damaged files on standard error: the caller reports them with their names."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def encode_png(image: RGBImage, compress_level: int = 1) -> bytes:
    """Encode an RGB image of shape (H, W, 3), uint8, as PNG, without loss."""
    return encode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), cv2.IMWRITE_PNG_COMPRESSION, compress_level)


def encode(suffix: str, samples: NDArray[Any], *settings: int) -> bytes:
    """Encode an image by OpenCV.

    Args:
        suffix: Suffix of the format, such as ``.png``.
        samples: (H, W), or (H, W, 3 or 4) in the order BGR or BGRA; uint8 or uint16.
        settings: Pairs of a name and a value, as of ``cv2.imencode``.
    """
    done, data = cv2.imencode(suffix, samples, settings)
    if not done:
        raise RuntimeError(f'OpenCV could not encode an image of shape {samples.shape}.')
    return data.tobytes()


def read(path: Path) -> RGBImage:
    """Read an image file; see ``decode``. A camera's raw file is developed (``raw.develop``) and rounded to 8 bits."""
    _check_file(path)
    if is_raw(path):
        with open_raw(path) as raw:
            return to_8_bits(develop(raw))
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}).') from None


def _check_file(path: Path) -> None:
    if fault := not_a_file(path):  # reading a pipe would block
        raise InputError(f'{path}: {fault}; put an image there, or remove it.')


def header_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as ``read`` would give them, from the file's header alone.

    Raises:
        InputError: The header is not that of an image, or is that of one which ``read`` refuses: with more than 8 bits
            per channel, neither gray nor RGB, or of several pages or frames.
    """
    _check_file(path)
    if is_raw(path):
        with open_raw(path) as raw:
            return developed_size(raw)
    with _header(path, str(path)) as file:
        return upright_size(file)


@contextmanager
def _header(source: Path | bytes, where: str) -> Iterator[ImageFile]:
    """Open an image that can be read; errors as those of ``header_size``."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(opened(source))
            frames = frame_count(file)
        except InputError as error:
            raise InputError(f'{where}: {error}') from None
        except PIL.UnidentifiedImageError:
            raise InputError(
                f'{where}: not a readable image (damaged, or not JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC); get the '
                'file again, or convert it.'
            ) from None
        except Exception as error:  # the errors of Pillow's decoders have no common type
            if isinstance(error, OSError) and error.errno is not None:  # of the file system
                raise InputError(f'{where}: cannot be read ({error.strerror}).') from None
            raise _unreadable(where) from None
        if file.mode == 'LAB':  # decoders disagree on its colours
            raise InputError(f'{where}: CIELAB samples; convert it to RGB first.')
        if frames > 1:
            raise InputError(f'{where}: {frames} pages or frames; save the one to use as an image first.')
        _check_samples(file, where)
        yield file


def _check_samples(file: ImageFile, where: str) -> None:
    """Check by the header that samples have at most 8 bits and are those of gray or RGB."""
    try:
        bits = sample_bits(file)
    except InputError as error:
        raise InputError(f'{where}: {error}') from None
    if bits > 8:
        raise InputError(f'{where}: {bits}-bit samples; convert it to 8 bits a channel.')
    if file.mode not in MODES_OF_8_BITS:
        raise InputError(f'{where}: {file.mode} samples; convert it to RGB first.')
