"""Random draws keyed by sample."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from entropy_sde_plugin.data.sample_seeds import DrawIndex, generator, key_of


def test_is_an_int_to_everything():
    index = DrawIndex(3, epoch=2, draw=19)
    assert index == 3
    assert [10, 11, 12, 13][index] == 13
    assert {3: 'three'}[index] == 'three'
    assert key_of(index) == (2, 19)
    assert key_of(7) == (0, 7)


@pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_survives_pickling_and_copying(protocol):
    index = DrawIndex(3, epoch=2, draw=19)
    for copied in (pickle.loads(pickle.dumps(index, protocol)), copy.copy(index), copy.deepcopy(index)):
        assert type(copied) is DrawIndex
        assert (int(copied), copied.epoch, copied.draw) == (3, 2, 19)


def test_streams_follow_the_key_alone():
    stream = generator(5, DrawIndex(3, epoch=1, draw=4)).random(4)
    np.testing.assert_array_equal(stream, generator(5, DrawIndex(0, epoch=1, draw=4)).random(4))
    np.testing.assert_array_equal(generator(5, 4).random(4), generator(5, DrawIndex(1, epoch=0, draw=4)).random(4))


def test_streams_of_different_keys_are_unrelated():
    keys = [(seed, epoch, draw) for seed in range(3) for epoch in range(10) for draw in range(30)]
    draws = np.array([generator(s, DrawIndex(0, epoch=e, draw=d)).random(2) for s, e, d in keys])
    assert len(np.unique(draws)) == draws.size
    # 900 pairs of uniforms: mean 1/2 (standard error 0.007) and no correlation (standard error 0.033)
    assert abs(draws.mean() - 0.5) < 0.035
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.15
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.15


def test_the_same_on_every_machine():
    # numpy promises the streams of SeedSequence and PCG64; a change here would change every training.
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7, spawn_key=(1, 2)))).random(3)
    np.testing.assert_array_equal(generator(7, DrawIndex(0, epoch=1, draw=2)).random(3), expected)
