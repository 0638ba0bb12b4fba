"""What an image file holds besides its pixels: colour profile, EXIF, XMP and IPTC.

XMP is text in XML (ISO 16684-1), IPTC a list of records (IPTC-NAA IIM 4). Both are handed on as they are, but for what
would be wrong in the output: XMP's orientation and thumbnail, and where other images lie in the file.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple

from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile

from entropy_sde_plugin.inference.pictures import exif

__all__ = ['Metadata', 'iptc_segment', 'metadata_of']

_IPTC_RESOURCE = 0x0404
_PHOTOSHOP = b'Photoshop 3.0\0'


class Metadata(NamedTuple):
    """Blocks to be embedded, each of them bytes or none.

    Attributes:
        icc_profile: The colour profile.
        exif: EXIF from its TIFF header on.
        xmp: An XMP packet, UTF-8.
        iptc: IPTC records.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None


def metadata_of(file: ImageFile) -> tuple[Metadata, tuple[str, ...]]:
    """Read the metadata of an opened and loaded file for the upright image.

    Returns:
        The blocks, and what is left out of them, a phrase each.
    """
    notes: tuple[str, ...] = ()
    try:
        block = exif.from_file(file)
        block = block and exif.make_upright(block)
    except ValueError as error:
        notes, block = (f'the EXIF is damaged ({error}) and left out',), None
    packet = file.info.get('xmp')
    if packet:  # of a JPEG file the first part
        packet, xmp_notes = _clean_xmp(bytes(packet).rstrip(b'\0'))
        notes += xmp_notes
    return Metadata(file.info.get('icc_profile') or None, block, packet or None, _iptc(file)), notes


def _clean_xmp(packet: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Remove from an XMP packet what would be wrong in the output.

    Returns:
        The packet for the upright image alone, or none; and a phrase for each thing left out.
    """
    try:
        packet.decode()
    except UnicodeDecodeError:
        return None, ('its XMP is not UTF-8 and left out',)
    if b'http://ns.google.com/photos/1.0/' in packet:
        return None, ('its XMP tells where a film or a gain map lies in the file, and is left out with them',)
    packet = re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>)\s*)\d+', rb'\g<1>1', packet)
    packet = re.sub(rb'<xmp:Thumbnails>.*?</xmp:Thumbnails>', b'', packet, flags=re.DOTALL)
    packet, extensions = re.subn(rb'\s*xmpNote:HasExtendedXMP\s*=\s*("[^"]*"|\'[^\']*\')', b'', packet)
    return packet, ('the second part of its XMP is left out',) * bool(extensions)


def _iptc(file: Any) -> bytes | None:
    """Return the IPTC records of a JPEG or TIFF file, or none."""
    if file.format != 'TIFF':
        return file.info.get('photoshop', {}).get(_IPTC_RESOURCE) or None
    # Undecoded: some programs declare the bytes as 32-bit numbers, of which Pillow gives the first.
    return file.tag_v2._tagdata.get(Base.IPTCNAA) or None


def iptc_segment(records: bytes) -> bytes:
    """Return a JPEG file's segment APP13 that holds the records as a resource of Photoshop."""
    resource = b'8BIM' + struct.pack('>HHI', _IPTC_RESOURCE, 0, len(records)) + records + bytes(len(records) % 2)
    return b'\xff\xed' + struct.pack('>H', 2 + len(_PHOTOSHOP) + len(resource)) + _PHOTOSHOP + resource
