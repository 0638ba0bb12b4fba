"""The file formats that pictures are written in: what each can hold, and its encoder."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.PngImagePlugin import putchunk

from entropy_sde_plugin.data.images import to_8_bits
from entropy_sde_plugin.inference.pictures.tiff import encode_tiff

__all__ = ['FORMATS', 'Format']

Encoder = Callable[[NDArray[Any], 'bytes | None', 'bytes | None'], bytes]
"""(samples, ICC profile, EXIF) -> the file's bytes. Samples: (H, W, C), uint8 or uint16, where C is 1 (gray),
2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha); EXIF begins with its TIFF header."""


_PNG_HEADER = 33
"""Bytes up to the end of the chunk IHDR."""


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        encode: Encodes samples that it can hold; 16 bits where it has 8 are rounded, gray that it has not becomes RGB.
        max_side: Largest width and height in pixels.
        max_exif: Largest EXIF block in bytes.
        has_alpha: Whether it holds transparency.
        has_16_bits: Whether it holds 16 bits a channel.
        has_gray: Whether it holds gray as one channel.
        has_16_bit_gray_alpha: Whether it holds gray of 16 bits with transparency as two.
    """

    encode: Encoder
    max_side: int
    max_exif: int = 2**32 - 1
    has_alpha: bool = True
    has_16_bits: bool = False
    has_gray: bool = True
    has_16_bit_gray_alpha: bool = True


def _encode_jpeg(samples: NDArray[Any], icc_profile: bytes | None, exif: bytes | None) -> bytes:
    block = {} if exif is None else {'exif': b'Exif\0\0' + exif}
    return _encode_by_pillow('JPEG', samples, icc_profile, quality=95, subsampling='4:4:4', **block)


def _encode_webp(samples: NDArray[Any], icc_profile: bytes | None, exif: bytes | None) -> bytes:
    # exact: colours stay where alpha is 0.
    return _encode_by_pillow('WEBP', samples, icc_profile, exif=exif or b'', lossless=True, exact=True)


def _encode_png(samples: NDArray[Any], icc_profile: bytes | None, exif: bytes | None) -> bytes:
    if samples.dtype == np.uint8:
        return _encode_by_pillow('PNG', samples, icc_profile, exif=exif or b'')
    return _encode_png_by_opencv(samples, icc_profile, exif)


def _encode_by_pillow(name: str, samples: NDArray[Any], icc_profile: bytes | None, **options: Any) -> bytes:
    if samples.dtype == np.uint16:
        samples = to_8_bits(samples)
    file = io.BytesIO()
    image = PIL.Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    image.save(file, name, icc_profile=icc_profile, **options)
    return file.getvalue()


def _encode_png_by_opencv(samples: NDArray[Any], icc_profile: bytes | None, exif: bytes | None) -> bytes:
    """Pillow writes 16 bits of gray alone. The chunks are put in here: OpenCV refuses profiles with slight faults."""
    if samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples.shape[2]]
    done, encoded = cv2.imencode('.png', samples[..., order])
    if not done:
        raise RuntimeError(f'OpenCV could not encode an image of shape {samples.shape}.')
    data = encoded.tobytes()
    file = io.BytesIO()
    file.write(data[:_PNG_HEADER])
    if icc_profile is not None:
        putchunk(file, b'iCCP', b'ICC Profile\0\0' + zlib.compress(icc_profile))
    if exif is not None:
        putchunk(file, b'eXIf', exif)
    file.write(data[_PNG_HEADER:])
    return file.getvalue()


_JPEG = Format(_encode_jpeg, max_side=65500, max_exif=65527, has_alpha=False)
_PNG = Format(_encode_png, max_side=2**31 - 1, has_16_bits=True, has_16_bit_gray_alpha=False)
_TIFF = Format(encode_tiff, max_side=2**31 - 1, has_16_bits=True)
_WEBP = Format(_encode_webp, max_side=16383, has_gray=False, has_16_bit_gray_alpha=False)

FORMATS = {
    '.jfif': _JPEG,
    '.jif': _JPEG,
    '.jpe': _JPEG,
    '.jpeg': _JPEG,
    '.jpg': _JPEG,
    '.png': _PNG,
    '.tif': _TIFF,
    '.tiff': _TIFF,
    '.webp': _WEBP,
}
"""Suffix -> format."""
