"""Writing of TIFF files with EXIF and 16 bits, which neither Pillow nor OpenCV nor tifffile does whole."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.metadata import Metadata

__all__ = ['assembled', 'encode_tiff', 'strips_of', 'tags_of']

_ROWS_PER_STRIP = 64
_BLACK_IS_ZERO, _RGB = 1, 2
_NONE, _DEFLATE = 1, 8
_HORIZONTAL_DIFFERENCING = 2
_UNASSOCIATED_ALPHA = 2


def encode_tiff(samples: NDArray[np.generic], metadata: Metadata) -> bytes:
    """Encode an image as a little-endian TIFF file: Deflate with horizontal differencing, without loss.

    Args:
        samples: Array of shape (H, W, C), uint8 or uint16; C is 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha).
        metadata: What to embed.

    Returns:
        The file's bytes.
    """
    channels = samples.shape[2]
    tags = tags_of(samples, metadata.exif)
    tags[Base.PhotometricInterpretation] = _RGB if channels >= 3 else _BLACK_IS_ZERO
    if channels in (2, 4):
        tags[Base.ExtraSamples] = _UNASSOCIATED_ALPHA
    tags[Base.Compression] = _DEFLATE
    tags[Base.Predictor] = _HORIZONTAL_DIFFERENCING
    for tag, block in (
        (Base.InterColorProfile, metadata.icc_profile),
        (Base.XMLPacket, metadata.xmp),
        (Base.IPTCNAA, metadata.iptc),
    ):
        if block is not None:
            tags[tag] = block
    return assembled(tags, [_deflated(rows) for rows in _cut(samples)])


def tags_of(samples: NDArray[np.generic], block: bytes | None) -> ImageFileDirectory_v2:
    """Return the tags of an EXIF block, and those that say how samples lie in the file, not compressed.

    Args:
        samples: As in :func:`encode_tiff`.
        block: EXIF without a prefix, or none.
    """
    height, width, channels = samples.shape
    tags = ImageFileDirectory_v2()
    if block is not None:
        kept = exif.as_tags(block)
        for tag in kept:
            tags[tag] = kept.get_ifd(tag) if tag in (IFD.Exif, IFD.GPSInfo) else kept[tag]
    tags[Base.ImageWidth] = width
    tags[Base.ImageLength] = height
    tags[Base.BitsPerSample] = (8 * samples.itemsize,) * channels
    tags[Base.SamplesPerPixel] = channels
    tags[Base.Compression] = _NONE
    return tags


def strips_of(samples: NDArray[np.generic]) -> list[bytes]:
    """Return samples, as of :func:`encode_tiff`, as the strips of a file, not compressed."""
    return [_little_endian(rows) for rows in _cut(samples)]


def assembled(tags: ImageFileDirectory_v2, strips: Sequence[bytes]) -> bytes:
    """Return the bytes of a little-endian TIFF file of one image.

    Args:
        tags: All but those of its strips.
        strips: As returned by :func:`strips_of`, compressed or not.
    """
    sizes = [len(strip) for strip in strips]
    tags[Base.RowsPerStrip] = _ROWS_PER_STRIP
    tags[Base.StripOffsets] = tuple(accumulate(sizes[:-1], initial=0))  # counted from the tags' end
    tags[Base.StripByteCounts] = tuple(sizes)
    file = io.BytesIO()
    tags.save(file)
    file.writelines(strips)
    return file.getvalue()


def _cut(samples: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    return (samples[top : top + _ROWS_PER_STRIP] for top in range(0, len(samples), _ROWS_PER_STRIP))


def _deflated(rows: NDArray[np.generic]) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]  # modulo 2^bits
    return zlib.compress(_little_endian(differences))


def _little_endian(rows: NDArray[np.generic]) -> bytes:
    return rows.astype(rows.dtype.newbyteorder('<'), copy=False).tobytes()
