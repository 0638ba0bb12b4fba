"""The file formats that images are written in: what each can hold, and its encoder."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.PngImagePlugin import putchunk

from entropy_sde_plugin.data.images import encode, to_8_bits
from entropy_sde_plugin.inference.pictures.metadata import Metadata, iptc_segment
from entropy_sde_plugin.inference.pictures.tiff import encode_tiff

__all__ = ['FORMATS', 'Format']

Encoder = Callable[[NDArray[Any], Metadata], bytes]
"""(samples, metadata that the format can hold) -> the file's bytes. Samples: (H, W, C), uint8 or uint16, where C is 1
(gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha)."""


_PNG_HEADER = 33
"""Bytes up to the end of the chunk IHDR."""


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        encode: Encodes samples that it can hold; 16 bits where it has 8 are rounded, gray that it has not becomes RGB.
        max_side: Largest width and height in pixels.
        max_exif: Largest EXIF block in bytes.
        max_xmp: Largest XMP packet in bytes.
        max_iptc: Largest list of IPTC records in bytes; 0 where there is no place for them.
        has_alpha: Whether it holds transparency.
        has_16_bits: Whether it holds 16 bits a channel.
        has_gray: Whether it holds gray as one channel.
        has_16_bit_gray_alpha: Whether it holds gray of 16 bits with transparency as two.
    """

    encode: Encoder
    max_side: int
    max_exif: int = 2**32 - 1
    max_xmp: int = 2**32 - 1
    max_iptc: int = 0
    has_alpha: bool = True
    has_16_bits: bool = False
    has_gray: bool = True
    has_16_bit_gray_alpha: bool = True


def _encode_jpeg(samples: NDArray[Any], metadata: Metadata) -> bytes:
    blocks = {} if metadata.exif is None else {'exif': b'Exif\0\0' + metadata.exif}
    extra = b'' if metadata.iptc is None else iptc_segment(metadata.iptc)
    return _encode_by_pillow(
        'JPEG', samples, metadata, quality=95, subsampling='4:4:4', xmp=metadata.xmp, extra=extra, **blocks
    )


def _encode_webp(samples: NDArray[Any], metadata: Metadata) -> bytes:
    # exact: colours stay where alpha is 0.
    blocks = {'exif': metadata.exif or b'', 'xmp': metadata.xmp or b''}
    return _encode_by_pillow('WEBP', samples, metadata, lossless=True, exact=True, **blocks)


def _encode_png(samples: NDArray[Any], metadata: Metadata) -> bytes:
    if samples.dtype == np.uint16:
        data, chunks = _encode_png_by_opencv(samples), [(b'iCCP', metadata.icc_profile), (b'eXIf', metadata.exif)]
    else:
        data, chunks = _encode_by_pillow('PNG', samples, metadata, exif=metadata.exif or b''), []
    file = io.BytesIO()
    file.write(data[:_PNG_HEADER])
    for name, content in [*chunks, (b'iTXt', metadata.xmp)]:
        if content is not None:
            putchunk(file, name, _PNG_CONTENT.get(name, bytes)(content))
    file.write(data[_PNG_HEADER:])
    return file.getvalue()


_PNG_CONTENT: dict[bytes, Callable[[bytes], bytes]] = {
    b'iCCP': lambda profile: b'ICC Profile\0\0' + zlib.compress(profile),
    b'iTXt': lambda packet: b'XML:com.adobe.xmp' + bytes(5) + packet,  # not compressed, no language, no translation
}


def _encode_by_pillow(name: str, samples: NDArray[Any], metadata: Metadata, **options: Any) -> bytes:
    if samples.dtype == np.uint16:
        samples = to_8_bits(samples)
    file = io.BytesIO()
    image = PIL.Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    image.save(file, name, icc_profile=metadata.icc_profile, **options)
    return file.getvalue()


def _encode_png_by_opencv(samples: NDArray[Any]) -> bytes:
    """Pillow writes 16 bits of gray alone. OpenCV gets no metadata: it refuses profiles with slight faults."""
    if samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples.shape[2]]
    return encode('.png', samples[..., order])


_JPEG = Format(_encode_jpeg, max_side=65500, max_exif=65527, max_xmp=65504, max_iptc=65506, has_alpha=False)
_PNG = Format(_encode_png, max_side=2**31 - 1, has_16_bits=True, has_16_bit_gray_alpha=False)
_TIFF = Format(encode_tiff, max_side=2**31 - 1, max_iptc=2**32 - 1, has_16_bits=True)
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
