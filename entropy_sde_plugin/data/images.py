"""Reading and encoding of image files: 8-bit RGB arrays in, nothing reduced in silence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError

__all__ = ['IMAGE_SUFFIXES', 'RGBImage', 'decode', 'encode_png', 'header_size', 'read']

RGBImage = NDArray[np.uint8]
"""An image of shape (H, W, 3), RGB, 0…255."""

IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'})

_EXIF_ORIENTATION = 0x0112


def decode(data: bytes, where: str) -> RGBImage:
    """Decode an image file.

    A gray image comes as three equal channels, a rotation noted in EXIF is applied, a fully opaque alpha channel is
    dropped.

    Args:
        data: The bytes of the file.
        where: Its file or database and key, for messages.

    Returns:
        Array of shape (H, W, 3), uint8, RGB.

    Raises:
        InputError: The bytes are no image, are cut off or damaged, have more than 8 bits a channel, or are partly
            transparent.
    """
    image = _imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise InputError(f'{where}: no readable image (damaged or cut off); get the file again.')
    if image.dtype != np.uint8:
        raise InputError(f'{where}: {image.dtype} samples; convert it to 8 bits a channel.')
    if _may_hold_alpha(data):
        whole = _imdecode(data, cv2.IMREAD_UNCHANGED)
        if whole is not None and whole.ndim == 3 and whole.shape[2] == 4 and whole[..., 3].min() < 255:
            raise InputError(f'{where}: partly transparent; flatten it onto a background first.')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    if not data:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # e.g. a damaged header that asks for more pixels than OpenCV allows
        return None


def _may_hold_alpha(data: bytes) -> bool:
    """Tell from the first bytes: JPEG, and PNG of colour types gray (0) and RGB (2), need no second decoding."""
    is_jpeg = data[:2] == b'\xff\xd8'
    is_plain_png = data[:8] == b'\x89PNG\r\n\x1a\n' and data[25:26] in (b'\x00', b'\x02')
    return not (is_jpeg or is_plain_png)


def encode_png(image: RGBImage, compress_level: int = 1) -> bytes:
    """Encode an RGB image of shape (H, W, 3), uint8, as PNG, without loss."""
    done, data = cv2.imencode(
        '.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, compress_level]
    )
    if not done:
        raise RuntimeError(f'OpenCV could not encode an image of shape {image.shape}.')
    return data.tobytes()


def read(path: Path) -> RGBImage:
    """Read an image file; see ``decode``."""
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror}).') from None


def header_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as ``read`` would give them, from the file's header alone.

    Raises:
        InputError: The header is not that of an image.
    """
    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            # Pillow decodes a whole PNG to look for EXIF behind the pixels, where nobody writes it.
            has_exif = image.format != 'PNG' or 'exif' in image.info
            turned = has_exif and image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except (OSError, PIL.Image.DecompressionBombError):
        raise InputError(f'{path}: no readable image (damaged or cut off); get the file again.') from None
    return (width, height) if turned else (height, width)
