"""Decoding of image files, against Pillow."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from entropy_sde_plugin.data import images
from entropy_sde_plugin.errors import InputError


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
    for kind in ('PNG', 'WEBP'):
        with pytest.raises(InputError, match=r'photo\.png: partly transparent'):
            images.decode(pillow_bytes(clear, kind), 'photo.png')


def test_sixteen_bits_are_refused(picture):
    data = cv2.imencode('.png', np.asarray(picture).astype(np.uint16) * 257)[1].tobytes()
    with pytest.raises(InputError, match=r'photo\.png: uint16 samples; convert it to 8 bits'):
        images.decode(data, 'photo.png')


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
@pytest.mark.parametrize('keep', [0.0, 0.3, 0.9, 0.999])
def test_files_cut_off_are_refused(picture, kind, keep):
    data = pillow_bytes(picture, kind)
    with pytest.raises(InputError, match=r'^photo\.x: no readable image'):
        images.decode(data[: int(keep * len(data))], 'photo.x')


def test_damaged_and_foreign_bytes_are_refused(picture):
    data = bytearray(pillow_bytes(picture, 'PNG'))
    data[len(data) // 2] ^= 0xFF
    for content in (bytes(data), b'these are no pixels' * 20):
        with pytest.raises(InputError, match='no readable image'):
            images.decode(content, 'photo.png')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, picture, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'photo.jpg'
    picture.save(path, 'JPEG', quality=95, exif=exif)
    expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert('RGB')).astype(int)
    decoded = images.read(path)
    assert images.header_size(path) == decoded.shape[:2] == expected.shape[:2]
    assert np.abs(decoded.astype(int) - expected).mean() < 0.5


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r'nothing\.png: there is no such file'):
        images.read(tmp_path / 'nothing.png')
    (tmp_path / 'text.png').write_text('hello')
    with pytest.raises(InputError, match=r'text\.png: no readable image'):
        images.header_size(tmp_path / 'text.png')


def test_encoding_loses_nothing(picture):
    for level in (0, 1, 9):
        data = images.encode_png(np.asarray(picture), level)
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(data))), np.asarray(picture))
