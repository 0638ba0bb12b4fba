"""EXIF blocks: the orientation taken out, everything else kept.

A block is a small TIFF file: a header, then directories of 12-byte entries (tag, type, count, value), of which the
first, IFD0, points to the others (CIPA DC-008 "Exif", section 4.5). It is patched in place: a block written anew
moves the makers' notes, whose inner offsets then point nowhere.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import PIL.Image
from PIL.ExifTags import IFD, Base

__all__ = ['as_tags', 'from_file', 'from_raw_file', 'make_upright']

_PREFIX = b'Exif\0\0'

_KEPT_TAGS = frozenset(
    {
        Base.ImageDescription,
        Base.Make,
        Base.Model,
        Base.Orientation,
        Base.XResolution,
        Base.YResolution,
        Base.ResolutionUnit,
        Base.Software,
        Base.DateTime,
        Base.Artist,
        Base.Copyright,
        Base.XPTitle,
        Base.XPComment,
        Base.XPAuthor,
        Base.XPKeywords,
        Base.XPSubject,
        Base.Rating,
        IFD.Exif,
        IFD.GPSInfo,
    }
)
"""Tags of IFD0 that describe the image; the others describe how a TIFF file lays out its pixels."""


def from_file(image: PIL.Image.Image) -> bytes | None:
    """Return the EXIF block of an opened and loaded file, without a prefix, or none.

    Where a file has no block of its own (but a TIFF file's tags, a PNG's text, an orientation in XMP), one is composed.

    Raises:
        ValueError: It has tags of which no block can be composed.
    """
    block = image.info.get('exif')
    if block is None:
        tags = image.getexif()
        for tag in set(tags) - _KEPT_TAGS:
            del tags[tag]
        try:
            block = tags.tobytes() if len(tags) else b''
        except (struct.error, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f'a tag of another type: {error}') from None
    return block.removeprefix(_PREFIX) or None


def from_raw_file(path: Path) -> bytes | None:
    """Return the EXIF block of a camera's raw file that is built as a TIFF file, as most are, or none.

    The maker's notes are left out: their inner offsets would point nowhere.
    """
    tags = PIL.Image.Exif()
    try:
        with path.open('rb') as file, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of what is cut off
            tags.load_from_fp(file)
            for tag in set(tags) - _KEPT_TAGS:
                del tags[tag]
            tags.get_ifd(IFD.Exif).pop(Base.MakerNote, None)
            return tags.tobytes().removeprefix(_PREFIX)
    # Of another build, or damaged.
    except (SyntaxError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error):
        return None


def as_tags(block: bytes) -> PIL.Image.Exif:
    """Return the tags of a block that describe the image, for a TIFF file."""
    tags = PIL.Image.Exif()
    tags.load(_PREFIX + block)
    for tag in set(tags) - _KEPT_TAGS:
        del tags[tag]
    return tags


def make_upright(block: bytes) -> bytes:
    """Take the orientation out of an EXIF block.

    The orientation becomes 1, width and height change places where it was 5 or more, and the thumbnail, which shows the
    image as it was, is unlinked. Every other byte stays.

    Args:
        block: EXIF without a prefix.

    Returns:
        The block for the image upright.

    Raises:
        ValueError: The block is damaged.
    """
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(block[:4])
    if order is None:
        raise ValueError('no TIFF header')
    patched = bytearray(block)
    try:
        _patch(patched, order)
    except (struct.error, KeyError) as error:
        raise ValueError(f'broken directory: {error}') from None
    return bytes(patched)


def _patch(block: bytearray, order: str) -> None:
    (offset,) = struct.unpack_from(f'{order}I', block, 4)
    entries, end = _directory(block, order, offset)
    if end + 4 <= len(block):
        struct.pack_into(f'{order}I', block, end, 0)  # where the thumbnail's directory was
    orientation = 1
    if Base.Orientation in entries:
        entry = entries[Base.Orientation]
        (kind,) = struct.unpack_from(f'{order}H', block, entry + 2)
        number = order + {3: 'H', 4: 'I'}[kind]
        (orientation,) = struct.unpack_from(number, block, entry + 8)
        struct.pack_into(number, block, entry + 8, 1)
    if 5 <= orientation <= 8 and IFD.Exif in entries:
        (offset,) = struct.unpack_from(f'{order}I', block, entries[IFD.Exif] + 8)
        _swap_sides(block, _directory(block, order, offset)[0])


def _directory(block: bytearray, order: str, offset: int) -> tuple[dict[int, int], int]:
    """Return where the entry of each tag begins, and where the last entry ends."""
    (count,) = struct.unpack_from(f'{order}H', block, offset)
    starts = range(offset + 2, offset + 2 + 12 * count, 12)
    entries = {struct.unpack_from(f'{order}HHII', block, start)[0]: start for start in starts}
    return entries, offset + 2 + 12 * count


def _swap_sides(block: bytearray, entries: dict[int, int]) -> None:
    if Base.ExifImageWidth in entries and Base.ExifImageHeight in entries:
        width, height = (
            slice(entries[tag] + 2, entries[tag] + 12) for tag in (Base.ExifImageWidth, Base.ExifImageHeight)
        )
        block[width], block[height] = block[height], block[width]
