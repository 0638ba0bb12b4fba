"""Writing of TIFF files with EXIF and 16 bits, which neither Pillow nor OpenCV nor tifffile does whole."""

from __future__ import annotations

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.metadata import Metadata

__all__ = ['encode_tiff']

_ROWS_PER_STRIP = 64
_BLACK_IS_ZERO, _RGB = 1, 2
_DEFLATE = 8
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
    height, width, channels = samples.shape
    strips = [_strip(samples[top : top + _ROWS_PER_STRIP]) for top in range(0, height, _ROWS_PER_STRIP)]
    sizes = [len(strip) for strip in strips]

    tags = ImageFileDirectory_v2()
    if metadata.exif is not None:
        kept = exif.as_tags(metadata.exif)
        for tag in kept:
            tags[tag] = kept.get_ifd(tag) if tag in (IFD.Exif, IFD.GPSInfo) else kept[tag]
    tags[Base.ImageWidth] = width
    tags[Base.ImageLength] = height
    tags[Base.BitsPerSample] = (8 * samples.itemsize,) * channels
    tags[Base.SamplesPerPixel] = channels
    tags[Base.PhotometricInterpretation] = _RGB if channels >= 3 else _BLACK_IS_ZERO
    if channels in (2, 4):
        tags[Base.ExtraSamples] = _UNASSOCIATED_ALPHA
    tags[Base.Compression] = _DEFLATE
    tags[Base.Predictor] = _HORIZONTAL_DIFFERENCING
    tags[Base.RowsPerStrip] = _ROWS_PER_STRIP
    tags[Base.StripOffsets] = tuple(int(sum_) for sum_ in np.cumsum([0, *sizes[:-1]]))  # counted from the tags' end
    tags[Base.StripByteCounts] = tuple(sizes)
    for tag, block in (
        (Base.InterColorProfile, metadata.icc_profile),
        (Base.XMLPacket, metadata.xmp),
        (Base.IPTCNAA, metadata.iptc),
    ):
        if block is not None:
            tags[tag] = block

    file = io.BytesIO()
    tags.save(file)
    file.writelines(strips)
    return file.getvalue()


def _strip(rows: NDArray[np.generic]) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]  # modulo 2^bits
    return zlib.compress(differences.astype(rows.dtype.newbyteorder('<'), copy=False).tobytes())
