"""Frames of raw files made by script, whose content is known, and of a camera's file."""

from __future__ import annotations

import numpy as np
import pytest
import rawpy

from entropy_sde_plugin.data.raw_frame import planes_size, read_frame, read_metadata
from entropy_sde_plugin.data.raw_packing import unpack_bayer
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.dng import develop_planes
from tests.support import GOLDEN
from tests.support.raw_files import PATTERNS, with_tag, write_dng


def coloured_mosaic(pattern, black):
    """32 x 40 pixels: 1000, 2000, 3000, 4000 ADU above black for R, G beside R, B, G beside B."""
    colours = PATTERNS[pattern]
    red_row = colours.index(0) // 2
    mosaic = np.zeros((32, 40), np.uint16)
    for place, colour in enumerate(colours):
        row, column = divmod(place, 2)
        value = {0: 1000, 2: 3000, 1: 2000 if row == red_row else 4000}[colour]
        mosaic[row::2, column::2] = value + black[place]
    return mosaic


@pytest.mark.parametrize('pattern', PATTERNS)
def test_every_pattern_with_a_black_level_for_each_place(tmp_path, pattern):
    black = (500, 512, 520, 508)
    path = tmp_path / 'a.dng'
    write_dng(path, coloured_mosaic(pattern, black), pattern=pattern, black=black, white=15000, time=0.04, iso=1600)
    frame = read_frame(path)
    assert frame.planes.shape == (4, 16, 20)
    assert frame.white == 15000
    expected = np.array([1000, 2000, 3000, 4000]) / (15000 - np.array(frame.black))
    np.testing.assert_allclose(frame.planes.mean((1, 2)), expected, rtol=1e-6)
    released = read_frame(path, white=16383)
    np.testing.assert_allclose(released.planes[0], 1000 / (16383 - frame.black[0]), rtol=1e-6)


def test_metadata(tmp_path):
    path = tmp_path / 'a.dng'
    write_dng(path, np.full((32, 40), 600), time=0.04, iso=1600, gains=(2.0, 1.0, 1.5))
    metadata = read_metadata(path)
    assert (metadata.iso, metadata.exposure_time) == (1600, pytest.approx(0.04))
    np.testing.assert_allclose(metadata.white_balance / metadata.white_balance[1], [2, 1, 1.5, 1], rtol=1e-5)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_allclose(metadata.matrix, raw.color_matrix[:, :3])
    np.testing.assert_allclose(metadata.matrix.sum(1), 1, atol=1e-5)  # white stays white


def test_a_file_without_iso(tmp_path):
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600))
    assert read_metadata(tmp_path / 'a.dng').iso is None


@pytest.mark.parametrize('iso', ['auto', 0])
def test_a_tag_of_the_iso_that_is_no_number_above_zero(tmp_path, iso):
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600), iso=iso)
    assert read_metadata(tmp_path / 'a.dng').iso is None


@pytest.mark.parametrize('matrix', [(1, 0, 0, 1, 0, 0, 1, 0, 0), (0.9, -0.3, -0.08, 0.9, -0.3, -0.08, -0.1, 0.2, 0.6)])
def test_a_matrix_that_cannot_be_inverted(tmp_path, matrix):
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600), matrix=matrix)
    frame = read_frame(tmp_path / 'a.dng')
    np.testing.assert_array_equal(frame.metadata.matrix, np.eye(3))
    assert develop_planes(frame.planes, frame).shape == (32, 40, 3)


def test_levels_of_a_file_that_contradict_each_other(tmp_path):
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600), white=400)
    with pytest.raises(InputError, match=r'a\.dng: The white level 400 must be above the black level 512\.$'):
        read_frame(tmp_path / 'a.dng')


def test_a_cameras_file():
    """Pixels at their places in the visible area, by rawpy's own colours."""
    path = GOLDEN / 'raw' / 'halide_grbg.dng'
    frame = read_frame(path)
    with rawpy.imread(str(path)) as raw:
        for colour in range(4):
            values = raw.raw_image_visible[raw.raw_colors_visible == colour].astype(float)
            expected = ((values - 25) / (1023 - 25)).clip(0, 1)
            np.testing.assert_allclose(frame.planes[colour].ravel(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ('mosaic', 'pattern', 'words'),
    [
        (np.full((32, 40, 3), 600), 'RGGB', 'a linear raw file, whose colours are mixed already'),
        (np.full((36, 48), 600), 'XTRANS', 'an X-Trans mosaic'),
        (np.full((32, 40), 600), 'GMCY', 'a mosaic of the colours GMCY'),
    ],
)
def test_other_than_bayer_is_refused(tmp_path, mosaic, pattern, words):
    write_dng(tmp_path / 'a.dng', mosaic, pattern=pattern)
    with pytest.raises(InputError, match=rf'a\.dng: {words}.*; only Bayer mosaics can be restored as raw images\.$'):
        read_frame(tmp_path / 'a.dng')


@pytest.mark.parametrize('pattern', PATTERNS)
def test_the_place_of_every_plane(tmp_path, pattern):
    write_dng(tmp_path / 'a.dng', coloured_mosaic(pattern, (500,) * 4), pattern=pattern, black=(500,) * 4)
    frame = read_frame(tmp_path / 'a.dng')
    mosaic = unpack_bayer(frame.planes, np.array(frame.pattern), frame.black, frame.white)
    np.testing.assert_array_equal(mosaic, coloured_mosaic(pattern, (500,) * 4))


@pytest.mark.parametrize('pattern', PATTERNS)
def test_planes_as_those_of_rggb(tmp_path, pattern):
    """A mosaic whose values are its rows and columns: every plane shows the place where it lies."""
    rows, columns = np.indices((32, 41))
    write_dng(tmp_path / 'a.dng', 1000 + 100 * rows + columns, pattern=pattern, black=(0,) * 4, white=16000)
    frame = read_frame(tmp_path / 'a.dng', rggb=True)
    assert frame.pattern == ((0, 1), (3, 2))
    assert planes_size(tmp_path / 'a.dng', rggb=True) == frame.planes.shape[1:]
    values = np.rint(frame.planes * 16000).astype(int) - 1000
    red_row, red_column = divmod(PATTERNS[pattern].index(0), 2)
    assert (values[0, 0, 0] // 100, values[0, 0, 0] % 100) == (red_row, red_column)
    for plane, (row, column) in zip(values, ((0, 0), (0, 1), (1, 1), (1, 0)), strict=True):
        np.testing.assert_array_equal(plane - values[0], 100 * row + column)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_orientation(tmp_path, orientation):
    path = tmp_path / 'a.dng'
    path.write_bytes(with_tag((GOLDEN / 'raw' / 'halide_grbg.dng').read_bytes(), 305, 0x0112, orientation))
    assert read_frame(path).orientation == orientation


def test_a_damaged_file(tmp_path):
    path = tmp_path / 'a.dng'
    path.write_bytes((GOLDEN / 'raw' / 'halide_grbg.dng').read_bytes()[:50000])
    with pytest.raises(InputError, match=r'a\.dng: not a raw file that LibRaw reads'):
        read_frame(path)
