"""Camera raw files, against LibRaw's own development and by the known pattern."""

import os
import struct
import sys

import numpy as np
import pytest
import rawpy

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.raw import develop, developed_size, open_raw
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.picture import read_picture
from tests.support.commands import ROOT

DNG = ROOT / 'tests' / 'golden' / 'raw' / 'halide_grbg.dng'


def turned(orientation):
    """The file with an orientation in place of the name of the software; an entry is tag, type, count, value."""
    data = bytearray(DNG.read_bytes())
    (start,) = struct.unpack_from('<I', data, 4)
    (count,) = struct.unpack_from('<H', data, start)
    entries = range(start + 2, start + 2 + 12 * count, 12)
    (software,) = (entry for entry in entries if struct.unpack_from('<H', data, entry) == (305,))
    struct.pack_into('<HHIHH', data, software, 0x0112, 3, 1, orientation, 0)
    return bytes(data)


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


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_it_is_upright(tmp_path, orientation):
    path = tmp_path / 'turned.DNG'
    path.write_bytes(turned(orientation))
    with open_raw(DNG) as raw, open_raw(path) as lying:
        upright = np.rot90(develop(raw), {3: 2, 6: 3, 8: 1}[orientation])
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
        with pytest.raises(InputError, match=r'^.*a\.nef: not a readable raw file \([^\n]*\); get the file again\.$'):
            read(path)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'rawpy', None)
    for read in (images.header_size, images.read, read_picture):
        with pytest.raises(InputError, match=r"halide_grbg\.dng: .*pip install 'entropy-sde-plugin\[raw\]'\.$"):
            read(DNG)
