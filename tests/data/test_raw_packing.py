"""Packing of mosaics against the released one's values."""

from __future__ import annotations

import numpy as np
import pytest

from entropy_sde_plugin.data.raw_packing import pack_bayer, pack_xtrans
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')
PATTERNS = dict(zip(('RGGB', 'BGGR', 'GRBG', 'GBRG'), GIVEN['pack_pattern_values'], strict=True))


@pytest.mark.parametrize('name', PATTERNS)
def test_bayer_is_packed_as_released(name):
    packed = pack_bayer(GIVEN['pack_mosaic'], PATTERNS[name], GIVEN['pack_black'], 16383)
    np.testing.assert_allclose(packed, GIVEN[f'pack_{name}'], rtol=0, atol=1e-6)


def test_xtrans_is_packed_as_released():
    np.testing.assert_allclose(pack_xtrans(GIVEN['xtrans_mosaic']), GIVEN['xtrans_packed'], rtol=0, atol=1e-6)


def test_every_pixel_of_an_xtrans_mosaic_is_in_one_plane():
    mosaic = np.arange(12 * 18, dtype=np.uint16).reshape(12, 18)
    packed = pack_xtrans(np.pad(mosaic, ((0, 5), (0, 3))), black=0, white=1000) * 1000
    assert sorted(packed.round().ravel()) == list(range(12 * 18))


def test_odd_lines_are_dropped_and_the_files_own_white_is_used():
    mosaic = np.full((5, 7), 600, np.uint16)
    packed = pack_bayer(mosaic, PATTERNS['GBRG'], [100, 100, 100, 101], 1100)
    assert packed.shape == (4, 2, 3)
    np.testing.assert_allclose(packed[:3], 0.5)
    np.testing.assert_allclose(packed[3], 499 / 999)


def test_values_below_black():
    mosaic = np.full((2, 2), 90, np.uint16)
    assert not pack_bayer(mosaic, PATTERNS['RGGB'], [100] * 4, 1100).any()
    np.testing.assert_allclose(pack_bayer(mosaic, PATTERNS['RGGB'], [100] * 4, 1100, keep_negative=True), -0.01)


@pytest.mark.parametrize(
    ('pattern', 'white', 'message'),
    [
        ([[0, 1], [1, 2]], 1100, 'not a Bayer pattern'),
        (np.zeros((6, 6), int), 1100, 'not a Bayer pattern'),
        (None, 100, 'above'),
    ],
)
def test_what_cannot_be_packed(pattern, white, message):
    pattern = PATTERNS['RGGB'] if pattern is None else np.asarray(pattern)
    with pytest.raises(InputError, match=message):
        pack_bayer(np.zeros((2, 2), np.uint16), pattern, [100] * 4, white)
