"""Colour matrices, against LibRaw's own."""

from __future__ import annotations

import numpy as np
import pytest
import rawpy
import tifffile

from entropy_sde_plugin.data.raw_colour import camera_from_srgb
from entropy_sde_plugin.data.raw_frame import read_metadata
from entropy_sde_plugin.data.raw_noise import camera
from tests.support import GOLDEN
from tests.support.raw_files import MATRIX, write_dng

MODELS = {
    'CanonEOS5D4': ('Canon', 'Canon EOS 5D Mark IV'),
    'CanonEOS70D': ('Canon', 'Canon EOS 70D'),
    'CanonEOS700D': ('Canon', 'Canon EOS 700D'),
    'NikonD850': ('NIKON CORPORATION', 'NIKON D850'),
    'SonyA7S2': ('SONY', 'ILCE-7SM2'),
}


def test_a_files_matrix_is_inverted_as_libraw_does():
    path = GOLDEN / 'raw' / 'halide_grbg.dng'
    with tifffile.TiffFile(path) as file:
        parts = np.reshape(file.pages[0].tags[50721].value, (9, 2))
    matrix = camera_from_srgb(np.reshape(parts[:, 0] / parts[:, 1], (3, 3)))
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_allclose(np.linalg.inv(matrix), raw.color_matrix[:, :3], atol=1e-6)


@pytest.mark.parametrize('name', MODELS)
def test_the_matrices_of_calibrated_cameras_are_those_of_libraws_table(tmp_path, name):
    """LibRaw takes its own matrix for a file without one, as of ARW, CR2 and NEF."""
    path = tmp_path / 'a.dng'
    write_dng(path, np.full((32, 40), 600), matrix=None, camera=MODELS[name])
    with rawpy.imread(str(path)) as raw:
        assert raw.rgb_xyz_matrix[:3].any()
        expected = camera_from_srgb(raw.rgb_xyz_matrix[:3].astype(np.float64))
    matrix = np.array(camera(name).camera_from_srgb)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-9)
    assert (matrix.diagonal() > 0.3).all()  # each colour of the camera is mostly that of the display
    np.testing.assert_allclose(read_metadata(path).matrix @ matrix, np.eye(3), atol=1e-5)


def test_a_file_that_knows_its_matrix_and_one_that_nobody_knows(tmp_path):
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600))
    expected = np.linalg.inv(camera_from_srgb(np.reshape(MATRIX, (3, 3))))
    np.testing.assert_allclose(read_metadata(tmp_path / 'a.dng').matrix, expected, atol=1e-3)
    write_dng(tmp_path / 'a.dng', np.full((32, 40), 600), matrix=None)
    np.testing.assert_array_equal(read_metadata(tmp_path / 'a.dng').matrix, np.eye(3))
