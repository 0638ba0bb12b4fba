"""Raw files made by script: DNGs that rawpy reads as those of a camera."""

from __future__ import annotations

import math
import struct

import numpy as np
import tifffile

PATTERNS = {'RGGB': (0, 1, 1, 2), 'BGGR': (2, 1, 1, 0), 'GRBG': (1, 0, 2, 1), 'GBRG': (1, 2, 0, 1)}
FOREIGN_PATTERNS = {
    'GMCY': (0, 1, 2, 3),
    'XTRANS': tuple(map(int, '110112112110201021112110110112021201')),
}
MATRIX = (0.9, -0.3, -0.08, -0.4, 1.2, 0.2, -0.1, 0.2, 0.6)
"""From XYZ to the camera's colours."""


def write_dng(
    path,
    mosaic,
    *,
    pattern='RGGB',
    black=(512,) * 4,
    white=16383,
    gains=(2.0, 1.0, 1.5),
    matrix=MATRIX,
    camera=('Synthetic', 'Synthetic'),
    **exposure,
):
    """Write a mosaic with its metadata.

    Args:
        path: The file; its folder is made.
        mosaic: (H, W), uint16; LibRaw takes at least 22 pixels a side. (H, W, 3) makes a linear file.
        pattern: Colours of the upper left corner, of PATTERNS or FOREIGN_PATTERNS.
        black: Black levels by the position in the pattern, row by row.
        white: White level.
        gains: White balance of R, G, B.
        matrix: From XYZ to the camera's colours; None writes no tag.
        camera: Maker and model.
        exposure: ``time`` in seconds and ``iso``, a whole number or text; a tag that is not given is not written.
    """
    neutral = [part for gain in gains for part in (round(1e6 / gain), 1000000)]
    tags = [
        (271, 's', 0, camera[0], True),
        (272, 's', 0, camera[1], True),
        (50706, 'B', 4, bytes((1, 4, 0, 0)), True),
        (50707, 'B', 4, bytes((1, 1, 0, 0)), True),
        (50708, 's', 0, camera[1], True),
        (50717, 'I', 1, white, True),
        (50728, '2I', 3, tuple(neutral), True),
        (50778, 'H', 1, 21, True),
    ]
    mosaic = np.asarray(mosaic, np.uint16)
    is_linear = mosaic.ndim == 3
    if not is_linear:
        colours = (PATTERNS | FOREIGN_PATTERNS)[pattern]
        side = math.isqrt(len(colours))
        tags += [
            (33421, 'H', 2, (side, side), True),
            (33422, 'B', len(colours), bytes(colours), True),
            (50713, 'H', 2, (2, 2), True),
            (50714, 'H', 4, tuple(black), True),
        ]
    if matrix is not None:
        rationals = [part for value in matrix for part in (round(value * 10000), 10000)]
        tags.append((50721, '2i', 9, tuple(rationals), True))
    if 'time' in exposure:
        tags.append((33434, '2I', 1, (round(exposure['time'] * 10000), 10000), True))
    if 'iso' in exposure:
        iso = exposure['iso']
        tags.append((34855, *(('s', 0) if isinstance(iso, str) else ('H', 1)), iso, True))
    path.parent.mkdir(parents=True, exist_ok=True)
    photometric = 34892 if is_linear else 32803
    tifffile.imwrite(path, mosaic, photometric=photometric, metadata=None, extratags=tags)


def with_tag(data, place, tag, value):
    """A TIFF file's bytes with a tag of one 16-bit number in place of another; an entry is tag, type, count, value."""
    changed = bytearray(data)
    (start,) = struct.unpack_from('<I', changed, 4)
    (count,) = struct.unpack_from('<H', changed, start)
    entries = range(start + 2, start + 2 + 12 * count, 12)
    (entry,) = (entry for entry in entries if struct.unpack_from('<H', changed, entry) == (place,))
    struct.pack_into('<HHIHH', changed, entry, tag, 3, 1, value, 0)
    return bytes(changed)
