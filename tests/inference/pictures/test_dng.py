"""DNG files against what rawpy and tifffile read of them, and developed planes against LibRaw's own development."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
import rawpy
import tifffile

from entropy_sde_plugin.data.image_files import turn
from entropy_sde_plugin.data.raw import develop, open_raw
from entropy_sde_plugin.data.raw_frame import read_frame
from entropy_sde_plugin.inference.pictures import exif
from entropy_sde_plugin.inference.pictures.dng import develop_planes, encode_dng
from tests.support import GOLDEN
from tests.support.raw_files import PATTERNS, write_dng

BLACK = (500, 512, 520, 508)


def smooth_mosaic(pattern, black):
    """48 x 64 pixels of a smooth gray scene above black, so that any demosaicing finds the same colours."""
    rows, columns = np.mgrid[:48, :64]
    scene = 3000 + 1500 * np.sin(rows / 9) + 1200 * np.cos(columns / 11)
    for place, level in enumerate(black):
        scene[place // 2 :: 2, place % 2 :: 2] += level
    return scene.round().astype(np.uint16)


@pytest.mark.parametrize('pattern', PATTERNS)
def test_it_reads_back_unchanged(tmp_path, pattern):
    source, target = tmp_path / 'a.dng', tmp_path / 'b.dng'
    mosaic = smooth_mosaic(pattern, BLACK)
    write_dng(source, mosaic, pattern=pattern, black=BLACK, white=15000, gains=(2.5, 1, 1.7), time=1 / 30, iso=3200)
    frame = read_frame(source)
    target.write_bytes(encode_dng(frame.planes, frame, exif=exif.from_raw_file(source)))
    with rawpy.imread(str(source)) as old, rawpy.imread(str(target)) as new:
        np.testing.assert_array_equal(new.raw_image_visible, mosaic)
        np.testing.assert_array_equal(new.raw_pattern, old.raw_pattern)
        assert new.black_level_per_channel == old.black_level_per_channel
        assert new.white_level == 15000
        np.testing.assert_allclose(new.color_matrix, old.color_matrix, atol=1e-5)
        np.testing.assert_allclose(
            *(np.divide(raw.camera_whitebalance[:3], raw.camera_whitebalance[1]) for raw in (new, old)), rtol=1e-5
        )
        assert new.other.shutter_speed == old.other.shutter_speed
    with tifffile.TiffFile(target) as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), mosaic)
        assert page.tags['ISOSpeedRatings'].value == 3200
        assert page.tags['BlackLevel'].value == BLACK
        assert page.tags['Make'].value == 'Synthetic'
        seconds, parts = page.tags['ExposureTime'].value
        assert seconds / parts == pytest.approx(1 / 30, rel=1e-3)  # as write_dng rounds it


def test_a_file_that_says_little(tmp_path):
    """No exposure, no ISO, no EXIF: what is not known is not written, and the file is read all the same."""
    source, target = tmp_path / 'a.dng', tmp_path / 'b.dng'
    write_dng(source, smooth_mosaic('RGGB', BLACK), black=BLACK)
    frame = read_frame(source)
    target.write_bytes(encode_dng(frame.planes, frame))
    again = read_frame(target)
    np.testing.assert_allclose(again.planes, frame.planes, atol=1e-6)
    assert again.metadata.iso is None
    with tifffile.TiffFile(target) as file:
        assert not {'ExposureTime', 'ISOSpeedRatings'} & {tag.name for tag in file.pages[0].tags}


@pytest.mark.parametrize('pattern', PATTERNS)
def test_planes_are_developed_as_their_file(tmp_path, pattern):
    path = tmp_path / 'a.dng'
    write_dng(path, smooth_mosaic(pattern, BLACK), pattern=pattern, black=BLACK, white=9000)
    with open_raw(path) as raw:
        expected = develop(raw).astype(float)
    developed = develop_planes(read_frame(path).planes, read_frame(path))
    assert developed.shape == expected.shape
    assert np.abs(developed - expected).mean() < 60  # of 65535: LibRaw has one range for all colours


def test_a_camera_s_file_is_developed_the_same_way_up(tmp_path):
    """With its own white balance and 10 bits."""
    path = GOLDEN / 'raw' / 'halide_grbg.dng'
    frame = read_frame(path)
    with open_raw(path) as raw:
        expected = develop(raw).astype(float)
    assert np.abs(develop_planes(frame.planes, frame) - expected).mean() < 20
    for orientation in range(2, 9):
        turned = develop_planes(frame.planes, replace(frame, orientation=orientation))
        assert np.abs(turned - turn(expected, orientation)).mean() < 20


def test_exif_of_a_damaged_type_is_left_out(tmp_path):
    """LibRaw does not read the maker's name, here said to be a fraction; Pillow would write it as text."""
    write_dng(tmp_path / 'a.dng', np.full((44, 60), 600), camera=('12345678', 'Synthetic'))
    data = bytearray((tmp_path / 'a.dng').read_bytes())
    entry = data.index(struct.pack('<HHI', 271, 2, 9))
    struct.pack_into('<HHI', data, entry, 271, 5, 1)
    (tmp_path / 'b.dng').write_bytes(data)
    assert b'12345678' in exif.from_raw_file(tmp_path / 'a.dng')
    assert exif.from_raw_file(tmp_path / 'b.dng') is None
