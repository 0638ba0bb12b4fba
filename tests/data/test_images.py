"""Decoding of image files, against Pillow."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import tifffile

from entropy_sde_plugin.data import images
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.picture import read_picture
from tests.support.commands import ROOT

IMAGES = ROOT / 'tests' / 'golden' / 'images'


def pillow_bytes(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def picture(bright):
    return PIL.Image.fromarray(bright['chelsea'])


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'TIFF'])
def test_lossless_kinds(picture, kind):
    np.testing.assert_array_equal(images.decode(pillow_bytes(picture, kind), 'x'), np.asarray(picture))


def test_jpeg_agrees_with_pillow(picture):
    data = pillow_bytes(picture, 'JPEG', quality=92)
    reference = np.asarray(PIL.Image.open(io.BytesIO(data)).convert('RGB')).astype(int)
    # the two decoders differ by a few levels at most, and hardly anywhere
    difference = np.abs(images.decode(data, 'x').astype(int) - reference)
    assert difference.mean() < 0.5
    assert difference.max() <= 8


def test_a_png_with_a_long_profile_or_compressed_text(tmp_path, picture):
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text('Raw profile type 8bim', '0' * 3_000_000, zip=True)
    path, profile = tmp_path / 'a.png', bytes(3_000_000)
    picture.save(path, pnginfo=text, icc_profile=profile)
    assert images.header_size(path) == picture.size[::-1]
    np.testing.assert_array_equal(images.read(path), np.asarray(picture))
    assert read_picture(path).icc_profile == profile


def test_16_bit_tiff_is_refused(picture):
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.asarray(picture).astype(np.uint16), photometric='rgb')
    with pytest.raises(InputError, match=r'photo\.tif: 16-bit samples; convert it to 8 bits'):
        images.decode(stream.getvalue(), 'photo.tif')


def test_gray_and_palette_become_rgb(picture):
    for mode in ('L', 'P'):
        converted = picture.convert(mode)
        decoded = images.decode(pillow_bytes(converted, 'PNG'), 'x')
        np.testing.assert_array_equal(decoded, np.asarray(converted.convert('RGB')))


def test_opaque_alpha_is_dropped_and_other_alpha_refused(picture):
    opaque = picture.copy()
    opaque.putalpha(255)
    np.testing.assert_array_equal(images.decode(pillow_bytes(opaque, 'PNG'), 'x'), np.asarray(picture))
    clear = picture.copy()
    clear.putalpha(254)
    for kind in ('PNG', 'WEBP', 'TIFF'):
        with pytest.raises(InputError, match=r'photo\.png: partly transparent'):
            images.decode(pillow_bytes(clear, kind), 'photo.png')


def test_sixteen_bits_are_refused(picture):
    data = cv2.imencode('.png', np.asarray(picture).astype(np.uint16) * 257)[1].tobytes()
    with pytest.raises(InputError, match=r'photo\.png: 16-bit samples; convert it to 8 bits'):
        images.decode(data, 'photo.png')


def test_a_transparent_colour_is_refused(picture):
    colour = picture.getpixel((0, 0))
    for turned, transparent in ((picture, colour), (picture.convert('L'), picture.convert('L').getpixel((0, 0)))):
        with pytest.raises(InputError, match=r'photo\.png: partly transparent'):
            images.decode(pillow_bytes(turned, 'PNG', transparency=transparent), 'photo.png')
    unused = picture.point(lambda level: min(level, 254))
    data = pillow_bytes(unused, 'PNG', transparency=(255, 255, 255))
    np.testing.assert_array_equal(images.decode(data, 'x'), np.asarray(unused))


def test_what_is_read_from_the_header_is_refused_before_anything_is_decoded(tmp_path, picture):
    cv2.imwrite(str(tmp_path / 'deep.png'), np.asarray(picture).astype(np.uint16))
    tifffile.imwrite(tmp_path / 'deep.tif', np.asarray(picture).astype(np.uint16), photometric='rgb')
    for kind in ('jpg', 'tif'):
        picture.convert('CMYK').save(tmp_path / f'cmyk.{kind}')
    five = np.asarray(picture)[..., [0, 1, 2, 0, 1]]
    tifffile.imwrite(tmp_path / 'five.tif', five, photometric='rgb', extrasamples=['unspecified'] * 2)
    for name, words in (
        ('five.tif', 'channels beside the colours'),
        ('deep.png', '16-bit samples'),
        ('deep.tif', '16-bit samples'),
        ('cmyk.jpg', 'CMYK samples; convert it to RGB'),
        ('cmyk.tif', 'CMYK samples; convert it to RGB'),
    ):
        for read in (images.header_size, images.read):
            with pytest.raises(InputError, match=rf'{name}: {words}'):
                read(tmp_path / name)


def test_a_jpeg_with_broken_codes_is_refused(picture, capfd):
    data = bytearray(pillow_bytes(picture, 'JPEG', quality=92))
    data[len(data) // 2 : len(data) // 2 + 2] = b'\xff\xd8'  # the start of an image
    with pytest.raises(OSError, match='broken data stream'):
        PIL.Image.open(io.BytesIO(data)).load()
    with pytest.raises(InputError, match=r'^photo\.jpg: not a readable image'):
        images.decode(bytes(data), 'photo.jpg')
    assert capfd.readouterr().err == ''


def test_a_bmp_of_16_bits_a_pixel_reaches_white():
    header = struct.pack('<2sIHHIIiiHHIIiiII', b'BM', 56, 0, 0, 54, 40, 1, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    np.testing.assert_array_equal(images.decode(header + b'\xff\x7f\0\0', 'x'), np.full((1, 1, 3), 255))


def test_another_format_is_not_called_damaged_alone(picture):
    with pytest.raises(
        InputError, match=r'^photo\.png: not a readable image \(damaged, or not JPEG, .*, or convert it'
    ):
        images.decode(pillow_bytes(picture, 'GIF'), 'photo.png')


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
@pytest.mark.parametrize('keep', [0.0, 0.3, 0.9, 0.999])
def test_files_cut_off_are_refused(picture, kind, keep):
    data = pillow_bytes(picture, kind)
    with pytest.raises(InputError, match=r'^photo\.x: not a readable image'):
        images.decode(data[: int(keep * len(data))], 'photo.x')


def test_damaged_and_foreign_bytes_are_refused(picture):
    data = bytearray(pillow_bytes(picture, 'PNG'))
    data[len(data) // 2] ^= 0xFF
    for content in (bytes(data), b'these are no pixels' * 20):
        with pytest.raises(InputError, match='not a readable image'):
            images.decode(content, 'photo.png')


TURNED = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""CIPA DC-008, section 4.6.4; other values say nothing."""
ORIENTATION = 0x0112
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def check_upright(path, picture, orientation):
    """Header, data sets and ``enhance`` agree with what the tag means."""
    expected = np.asarray(picture.transpose(TURNED[orientation]) if orientation in TURNED else picture).astype(int)
    assert images.header_size(path) == expected.shape[:2]
    for decoded in (images.read(path), read_picture(path).rgb):
        assert decoded.shape == expected.shape
        assert np.abs(decoded / (257 if decoded.dtype == np.uint16 else 1) - expected).mean() < 1.5


@pytest.mark.parametrize('value', [*range(10), 77, 65535])
@pytest.mark.parametrize('kind', ['avif', 'jpg', 'png', 'webp', 'tif'])
def test_every_reader_and_the_header_take_the_orientation_alike(tmp_path, picture, kind, value):
    picture = picture.crop((0, 0, 96, 64))
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = value
    path = tmp_path / f'photo.{kind}'
    options = {'avif': {'quality': 95}, 'jpg': {'quality': 95}, 'webp': {'lossless': True}}.get(kind, {})
    picture.save(path, exif=exif, **options)
    check_upright(path, picture, value)


@pytest.mark.parametrize(('kind', 'value'), [('H', (6, 6)), ('I', 6), ('I', 70000), ('B', 6), ('f', 6.0), ('s', '6')])
def test_a_tag_of_another_type_or_count_turns_header_and_pixels_alike(tmp_path, picture, kind, value):
    tag = (ORIENTATION, kind, np.size(value), value)
    tifffile.imwrite(tmp_path / 'a.tif', np.asarray(picture), photometric='rgb', extratags=[tag])
    assert images.header_size(tmp_path / 'a.tif') == images.read(tmp_path / 'a.tif').shape[:2]


def test_an_orientation_in_xmp_alone(tmp_path, picture):
    picture.save(tmp_path / 'a.jpg', xmp=XMP, quality=95)
    picture.save(tmp_path / 'a.webp', xmp=XMP, lossless=True)
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt('XML:com.adobe.xmp', XMP.decode())
    picture.save(tmp_path / 'a.png', pnginfo=text)
    tag = (700, 'B', len(XMP), XMP)
    tifffile.imwrite(tmp_path / 'a.tif', np.asarray(picture), photometric='rgb', extratags=[tag])
    for suffix in ('jpg', 'png', 'tif', 'webp'):
        check_upright(tmp_path / f'a.{suffix}', picture, 6)
    tifffile.imwrite(tmp_path / '16.tif', np.asarray(picture) * np.uint16(257), photometric='rgb', extratags=[tag])
    assert read_picture(tmp_path / '16.tif').rgb.shape[:2] == picture.size


@pytest.mark.parametrize('name', [b'eXIf', b'iTXt'])
def test_an_orientation_behind_the_pixels_of_a_png(tmp_path, picture, name):
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 6
    content = {b'eXIf': exif.tobytes()[6:], b'iTXt': b'XML:com.adobe.xmp' + bytes(5) + XMP}[name]
    file = io.BytesIO()
    PIL.PngImagePlugin.putchunk(file, name, content)
    data = pillow_bytes(picture, 'PNG')
    (tmp_path / 'a.png').write_bytes(data[:-12] + file.getvalue() + data[-12:])
    check_upright(tmp_path / 'a.png', picture, 6)


@pytest.mark.parametrize('block', [b'no exif at all', b'II*\0\xff\xff\xff\xff', b'MM\0*\0\0\0\x08\xff\xff'])
def test_damaged_exif_says_nothing(tmp_path, picture, block):
    for suffix in ('png', 'webp'):
        picture.save(tmp_path / f'a.{suffix}', exif=block, lossless=True)
        check_upright(tmp_path / f'a.{suffix}', picture, 1)


def test_heic_is_turned_as_it_says_itself_and_not_once_more_by_exif():
    path = IMAGES / 'turned.heic'
    lying = cv2.resize(photograph('coffee')[:256, :384], (96, 64), interpolation=cv2.INTER_AREA)
    check_upright(path, PIL.Image.fromarray(lying), 6)
    assert read_picture(path).exif is not None


def test_deep_heic_and_avif_are_refused(tmp_path):
    done, data = cv2.imencode('.avif', np.zeros((8, 8, 3), np.uint16), [cv2.IMWRITE_AVIF_DEPTH, 10])
    assert done
    for content in (data.tobytes(), (IMAGES / 'ten_bits.heic').read_bytes()):
        with pytest.raises(InputError, match=r'^x: 10-bit samples; convert it to 8 bits a channel\.$'):
            images.decode(content, 'x')


def test_heic_with_a_content_type_that_is_no_text():
    """pi_heif 1.4.0 would end the process."""
    data = (IMAGES / 'turned.heic').read_bytes()
    with pytest.raises(InputError, match=r'^x: not a readable image'):
        images.decode(data.replace(b'application', b'\xf0pplication'), 'x')


def test_the_missing_extra_of_heic_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pi_heif', None)
    for read in (images.header_size, images.read, read_picture):
        with pytest.raises(InputError, match=r"turned\.heic: .*pip install 'entropy-sde-plugin\[heif\]'\.$"):
            read(IMAGES / 'turned.heic')


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_an_image_of_too_many_pixels_is_not_called_damaged(tmp_path, monkeypatch, kind):
    path = tmp_path / 'panorama'
    PIL.Image.new('RGB', (2000, 1500)).save(path, kind)
    monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', 10**6)
    for read in (images.header_size, images.read, read_picture):
        with pytest.raises(InputError, match=r'panorama: more than 2 million pixels; cut it into parts first\.$'):
            read(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r'nothing\.png: there is no such file'):
        images.read(tmp_path / 'nothing.png')
    (tmp_path / 'text.png').write_text('hello')
    with pytest.raises(InputError, match=r'text\.png: not a readable image'):
        images.header_size(tmp_path / 'text.png')


@pytest.mark.skipif(not Path('/proc/self/mem').exists(), reason='/proc/self/mem stands for a file on a failing disk')
@pytest.mark.parametrize('read', [images.read, images.header_size])
def test_a_file_on_a_failing_disk_is_not_called_damaged(tmp_path, read):
    (tmp_path / 'a.png').symlink_to('/proc/self/mem')
    with pytest.raises(InputError, match=r'a\.png: cannot be read \(Input/output error\)\.$'):
        read(tmp_path / 'a.png')


def test_encoding_loses_nothing(picture):
    for level in (0, 1, 9):
        data = images.encode_png(np.asarray(picture), level)
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(data))), np.asarray(picture))
