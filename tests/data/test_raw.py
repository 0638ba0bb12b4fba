"""Camera raw files, against LibRaw's own development and by the known pattern."""

import os
import sys

import numpy as np
import pytest
import rawpy

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.image_files import turn
from entropy_sde_plugin.data.raw import develop, developed_size, open_raw
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.picture import read_picture
from tests.support.commands import ROOT
from tests.support.raw_files import with_tag, write_dng

DNG = ROOT / 'tests' / 'golden' / 'raw' / 'halide_grbg.dng'


def turned(orientation):
    """The file with an orientation in place of the name of the software."""
    return with_tag(DNG.read_bytes(), 305, 0x0112, orientation)


def test_developed_with_the_cameras_white_balance_in_srgb_at_16_bits():
    with rawpy.imread(str(DNG)) as raw:
        linear = raw.postprocess(
            use_camera_wb=True, output_bps=16, gamma=(1, 1), no_auto_bright=True, adjust_maximum_thr=0
        )
    light = linear / 65535
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    with open_raw(DNG) as raw:
        assert developed_size(raw) == (344, 256)
        developed = develop(raw)
    assert (developed.dtype, developed.shape) == (np.uint16, (344, 256, 3))
    assert np.abs(developed / 65535 - srgb).max() < 1e-3
    np.testing.assert_array_equal(read_picture(DNG).rgb, developed)
    assert images.header_size(DNG) == (344, 256)
    assert np.abs(images.read(DNG) - developed / 257).max() <= 0.5


@pytest.mark.parametrize('orientation', range(2, 9))
def test_it_is_upright(tmp_path, orientation):
    path = tmp_path / 'turned.DNG'
    path.write_bytes(turned(orientation))
    with open_raw(DNG) as raw, open_raw(path) as lying:
        upright = turn(develop(raw), orientation)
        assert developed_size(lying) == develop(lying).shape[:2] == upright.shape[:2]
        np.testing.assert_array_equal(develop(lying), upright)


@pytest.mark.parametrize('name', [os.fsdecode(b'caf\xe9.dng'), 'a\nb.dng'])
def test_its_name_may_be_anything(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(DNG.read_bytes())
    assert images.header_size(path) == (344, 256)
    np.testing.assert_array_equal(images.read(path), images.read(DNG))


@pytest.mark.parametrize(('camera', 'daylight', 'used'), [
    ((2.0, 1.0, 3.0, 0.0), (1.0, 1.0, 1.0, 1.0), [2, 1, 3, 1]),
    ((-1.0, 0.976, 1.007, 0.0), (4.0, 2.0, 3.0, 0.0), [4, 2, 3, 2]),
    ((0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0), [1, 1, 1, 1]),
])  # fmt: skip
def test_a_white_balance_that_the_camera_did_not_write(camera, daylight, used):
    class Raw:
        camera_whitebalance, daylight_whitebalance = camera, daylight

        def postprocess(self, *, user_wb, **_):
            return user_wb

    np.testing.assert_array_equal(develop(Raw()), used)


@pytest.mark.parametrize('content', [b'MM\0*', b'', b'no raw file' * 50, DNG.read_bytes()[:90000]])
def test_what_is_none_is_one_line(tmp_path, content):
    path = tmp_path / 'a.nef'
    path.write_bytes(content)
    for read in (images.read, read_picture):
        with pytest.raises(
            InputError, match=r'^.*a\.nef: not a raw file that LibRaw reads \([^\n]*\); get [^\n]*DNG\.$'
        ):
            read(path)


@pytest.mark.parametrize('kind', ['linear', 'X-Trans'])
def test_other_than_bayer_is_developed_too(tmp_path, kind):
    """LibRaw interpolates X-Trans from 512 pixels a side on."""
    path = tmp_path / 'a.dng'
    if kind == 'linear':
        write_dng(path, np.full((32, 40, 3), (2000, 4000, 3000)), gains=(2, 1, 1.5))
        expected, value_range = [4000, 4000, 4500], 16383
    else:
        write_dng(path, np.full((516, 516), 4512), pattern='XTRANS', gains=(2, 1, 1.5))
        expected, value_range = [8000, 4000, 6000], 16383 - 512
    with open_raw(path) as raw:
        assert developed_size(raw) == develop(raw).shape[:2]
        matrix = raw.color_matrix[:, :3]
    light = (matrix @ np.array(expected) / value_range).clip(0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(read_picture(path).rgb[8:-8, 8:-8].mean((0, 1)) / 65535, srgb, atol=5e-3)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'rawpy', None)
    for read in (images.header_size, images.read, read_picture):
        with pytest.raises(InputError, match=r"halide_grbg\.dng: .*pip install 'entropy-sde-plugin\[raw\]'\.$"):
            read(DNG)
