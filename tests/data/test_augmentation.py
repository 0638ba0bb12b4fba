"""Augmentation: images whose pixels tell where they come from."""

from __future__ import annotations

import numpy as np
import pytest

from entropy_sde_plugin.data.augmentation import crop, flip_and_rotate


@pytest.fixture(scope='module')
def places():
    """An image of 100x200 whose red is the row, green the column and blue the column's high bit."""
    row, column = np.mgrid[0:100, 0:200]
    return np.stack([row, column, np.zeros_like(row)], -1).astype(np.uint8)


def test_a_crop_is_a_square_of_the_picture_and_reaches_every_corner(places):
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(4000):
        first, second = crop([places, 255 - places], rng, side=96, size=96)
        assert first.shape == (96, 96, 3)
        top, left = int(first[0, 0, 0]), int(first[0, 0, 1])
        np.testing.assert_array_equal(first, places[top : top + 96, left : left + 96])
        np.testing.assert_array_equal(second, 255 - first)
        starts.add((top, left))
    tops, lefts = zip(*starts, strict=True)
    assert set(tops) == set(range(5))
    assert set(lefts) == set(range(105))


def test_reducing_averages_areas(places):
    (half,) = crop([places], np.random.default_rng(0), side=100, size=50)
    np.testing.assert_allclose(half[:, 0, 0], np.arange(50) * 2 + 0.5, atol=0.5)  # means of rows 2k and 2k+1
    noise = np.random.default_rng(1).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    (mean,) = crop([noise], np.random.default_rng(0), side=96, size=32)
    blocks = noise.reshape(32, 3, 32, 3, 3).astype(float).mean((1, 3))
    np.testing.assert_allclose(mean, blocks, atol=0.5 + 1e-6)


def test_the_eight_positions_are_equally_likely(places):
    square = places[:96, :96]
    turned = [np.rot90(mirrored, k) for mirrored in (square, square[:, ::-1]) for k in range(4)]
    counts = np.zeros(8)
    rng = np.random.default_rng(0)
    for _ in range(1600):
        first, second = flip_and_rotate([square, 255 - square], rng, use_hflip=True, use_rot=True)
        np.testing.assert_array_equal(second, 255 - first)
        counts += [np.array_equal(first, position) for position in turned]
    assert counts.sum() == 1600
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize(
    ('use_hflip', 'use_rot', 'positions'), [(False, False, 1), (True, False, 2), (False, True, 4), (True, True, 8)]
)
def test_what_is_switched_off_does_not_happen(places, use_hflip, use_rot, positions):
    square = places[:96, :96]
    rng = np.random.default_rng(0)
    seen = {flip_and_rotate([square], rng, use_hflip=use_hflip, use_rot=use_rot)[0].tobytes() for _ in range(200)}
    assert len(seen) == positions
    assert square.tobytes() in seen
    assert (square[:, ::-1].tobytes() in seen) == use_hflip
