"""XMP and IPTC through reading and writing, against Pillow and tifffile."""

import struct

import numpy as np
import PIL.Image
import pytest
import tifffile
from PIL.IptcImagePlugin import getiptcinfo

from entropy_sde_plugin.inference.pictures.picture import Picture, fit, read_picture, write_picture
from tests.support.commands import ROOT

XMP = """<?xpacket begin="\ufeff"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}">
<dc:title>N\u00e4chte</dc:title>{}</rdf:Description></x:xmpmeta>"""
IPTC = (
    bytes.fromhex('1c0205') + struct.pack('>H', 5) + b'Title' + bytes.fromhex('1c0278') + struct.pack('>H', 3) + b'odd'
)
"""Records 2:05 (title) and 2:120 (caption), IIM 4."""
RGB = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)


def xmp(orientation=1, more=''):
    return XMP.format(orientation, more).encode()


def jpeg(path, packet=None, records=None):
    """A JPEG file whose IPTC lies among other resources of Photoshop, as that program writes it."""
    extra = b''
    if records is not None:
        other = b'8BIM' + struct.pack('>HHI', 0x0425, 0, 4) + b'hash'
        resource = b'8BIM' + struct.pack('>HHI', 0x0404, 0, len(records)) + records + bytes(len(records) % 2)
        content = b'Photoshop 3.0\0' + other + resource
        extra = b'\xff\xed' + struct.pack('>H', 2 + len(content)) + content
    PIL.Image.fromarray(RGB).save(path, 'JPEG', xmp=packet, extra=extra)
    return path


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.webp'])
def test_xmp_is_kept_in_every_format(tmp_path, suffix, dtype):
    path = tmp_path / f'a{suffix}'
    write_picture(Picture(RGB.astype(dtype), xmp=xmp()), path)
    with PIL.Image.open(path) as file:
        file.load()
        assert file.info['xmp'] == xmp()
        if suffix == '.png':
            assert file.text['XML:com.adobe.xmp'] == xmp().decode()
    if suffix == '.tif':
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].tags[700].value == xmp()
    again = read_picture(path)
    assert again.xmp == xmp()
    assert again.notes == ()


@pytest.mark.parametrize(
    'form', ['tiff:Orientation="6"', "tiff:Orientation='6'", '<tiff:Orientation>6</tiff:Orientation>']
)
def test_the_orientation_in_xmp_is_applied_once(tmp_path, form):
    packet = f'<rdf:Description {form}/>' if '=' in form else f'<rdf:Description>{form}</rdf:Description>'
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(RGB).save(tmp_path / 'a.png', exif=exif)
    PIL.Image.fromarray(RGB).save(tmp_path / 'a.jpg', exif=exif, xmp=packet.encode())
    picture = read_picture(tmp_path / 'a.jpg')
    assert picture.xmp == packet.replace('6', '1').encode()
    write_picture(picture, tmp_path / 'b.jpg')
    assert read_picture(tmp_path / 'b.jpg').rgb.shape == (12, 8, 3)


def test_what_would_be_wrong_in_xmp_is_left_out(tmp_path):
    thumbnail = '<xmp:Thumbnails>\n<rdf:Alt>dark</rdf:Alt></xmp:Thumbnails>'
    assert read_picture(jpeg(tmp_path / 'a.jpg', xmp(6, thumbnail))).xmp == xmp()
    extended = xmp().replace(b'<rdf:Description', b'<rdf:Description xmpNote:HasExtendedXMP="0123"')
    picture = read_picture(jpeg(tmp_path / 'a.jpg', extended))
    assert (picture.xmp, picture.notes) == (xmp(), ('the second part of its XMP is left out',))
    for packet, why in (
        (xmp(more='<x xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"/>'), 'a film or a gain map'),
        (b'\xff\xfe<\0', 'is not UTF-8'),
    ):
        picture = read_picture(jpeg(tmp_path / 'a.jpg', packet))
        assert picture.xmp is None
        assert why in picture.notes[0]


@pytest.mark.parametrize('suffix', ['.jpg', '.jfif', '.tif'])
def test_iptc_is_kept_in_jpeg_and_tiff(tmp_path, suffix):
    picture = read_picture(jpeg(tmp_path / 'a.jpg', records=IPTC))
    assert picture.iptc == IPTC
    write_picture(picture, tmp_path / f'b{suffix}')
    with PIL.Image.open(tmp_path / f'b{suffix}') as file:
        assert getiptcinfo(file) == {(2, 5): b'Title', (2, 120): b'odd'}
    assert read_picture(tmp_path / f'b{suffix}').iptc == IPTC


@pytest.mark.parametrize('order', ['<', '>'])
def test_iptc_in_tiff_as_32_bit_numbers(tmp_path, order):
    records = IPTC + bytes(-len(IPTC) % 4)
    numbers = struct.unpack(f'{order}{len(records) // 4}I', records)
    tag = (33723, 'I', len(numbers), numbers)
    tifffile.imwrite(tmp_path / 'a.tif', RGB, photometric='rgb', byteorder=order, extratags=[tag])
    assert read_picture(tmp_path / 'a.tif').iptc == records


def test_what_a_format_has_no_room_for_is_told():
    picture = Picture(RGB, xmp=bytes(70000), iptc=IPTC)
    assert fit(picture, '.jpg').notes == ('its XMP, 70000 bytes, is too long for .jpg and left out',)
    assert fit(picture, '.png').notes == ('its IPTC, which .png cannot hold, is left out',)
    assert (fit(picture, '.jpg').xmp, fit(picture, '.png').iptc) == (None, None)


def test_the_longest_iptc_of_jpeg(tmp_path):
    write_picture(Picture(RGB, iptc=b'i' * 65506), tmp_path / 'a.jpg')
    assert read_picture(tmp_path / 'a.jpg').iptc == b'i' * 65506
    assert fit(Picture(RGB, iptc=b'i' * 65507), '.jpg').iptc is None


def test_heic_and_raw_files_keep_what_they_say():
    golden = ROOT / 'tests' / 'golden'
    packet = read_picture(golden / 'images' / 'turned.heic').xmp
    assert packet is not None
    assert b'dc:source="test"' in packet
    block = read_picture(golden / 'raw' / 'halide_grbg.dng').exif
    tags = PIL.Image.Exif()
    tags.load(b'Exif\0\0' + (block or b''))
    assert tags[271] == 'Synthetic'
    assert 33422 not in tags
