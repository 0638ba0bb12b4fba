"""Databases of raw planes: their layout, what a crop reads, and what is damaged."""

from __future__ import annotations

import pickle

import lmdb
import msgspec
import numpy as np
import pytest

from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata
from entropy_sde_plugin.data.raw_lmdb import PlanesReader, holds_planes, planes_writer
from entropy_sde_plugin.errors import InputError
from tests.support.pipes import pipe

METADATA = RawMetadata(1600, 0.04, np.array([2, 1, 1.5, 1], np.float32), np.eye(3, dtype=np.float32))


def frame(shape=(4, 40, 60)):
    planes = np.random.default_rng(0).uniform(-0.1, 1.1, shape).astype(np.float32)
    return RawFrame(planes, (512.0, 512.0, 510.0, 512.0), 16383.0, METADATA)


@pytest.fixture
def database(tmp_path):
    with planes_writer(tmp_path / 'a.lmdb') as writer:
        writer.put(frame(), frame().planes, source='00001_00_10s')
        writer.put(frame(), frame().planes[:, :16, :16], source='00001_00_0.1s', ratio=100.0, truth='00000000')
    return tmp_path / 'a.lmdb'


def test_keys_and_values_are_those_of_the_release(database):
    """Eight digits; floor(65535 v) as uint16, row by row; by py-lmdb itself."""
    with lmdb.open(str(database), readonly=True, lock=False) as environment, environment.begin() as transaction:
        stored = dict(transaction.cursor())
    assert sorted(stored) == [b'00000000', b'00000001']
    values = np.frombuffer(stored[b'00000000'], np.uint16).reshape(4, 40, 60)
    np.testing.assert_array_equal(values, np.floor(frame().planes.clip(0, 1) * np.float32(65535)))


def test_what_was_known_of_the_planes_comes_back(database):
    reader = PlanesReader(database)
    assert reader.names == ('00000000', '00000001')
    assert reader.size('00000001') == (16, 16)
    stored = reader.frame('00000001')
    assert (stored.record.source, stored.record.ratio, stored.record.truth) == ('00001_00_0.1s', 100, '00000000')
    assert (stored.metadata.iso, stored.metadata.exposure_time) == (1600, 0.04)
    np.testing.assert_array_equal(stored.metadata.white_balance, METADATA.white_balance)
    assert stored.value_range == 16383 - 511.5
    assert holds_planes(database)
    assert not holds_planes(database.parent)


def test_a_cut_is_that_of_the_planes_and_leaves_the_rest_alone(database, monkeypatch):
    planes = pickle.loads(pickle.dumps(PlanesReader(database))).frame('00000000').planes
    whole = planes[:, :, :]
    np.testing.assert_allclose(whole, frame().planes.clip(0, 1), atol=1 / 65535)
    window = (slice(None), slice(3, 11), slice(20, 29))
    converted = []
    divide = np.divide
    monkeypatch.setattr(
        np, 'divide', lambda values, *rest, **how: converted.append(values.size) or divide(values, *rest, **how)
    )
    cut = planes[window]
    np.testing.assert_array_equal(cut, whole[window])
    assert cut.dtype == np.float32
    assert converted == [4 * 8 * 9]
    assert cut.flags.owndata  # it outlives the transaction


def spoil_meta(path):
    (path / 'meta_info.json').write_text('{"00000000": {"source": 3}}')


def spoil_keys(path):
    records = msgspec.json.decode((path / 'meta_info.json').read_bytes())
    records['00000007'] = records.pop('00000001')
    (path / 'meta_info.json').write_bytes(msgspec.json.encode(records))


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda path: pipe(path / 'meta_info.json'), r'no readable meta_info\.json \(it is a pipe, not a file\)\.$'),
        (lambda path: (path / 'meta_info.json').unlink(), 'not a database of raw planes: it has no readable meta_info'),
        (lambda path: (path / 'data.mdb').unlink(), 'has no readable data.mdb'),
        (spoil_meta, r'meta_info\.json. is damaged \(Expected `str`, got `int`'),
        (spoil_keys, 'name different images'),
    ],
)
def test_damaged_databases(database, spoil, words):
    spoil(database)
    with pytest.raises(InputError, match=words) as caught:
        PlanesReader(database)
    assert '\n' not in str(caught.value)


def test_a_pipe_as_meta_information_does_not_make_it_a_database_of_images(database):
    pipe(database / 'meta_info.json')
    assert holds_planes(database)


def test_a_value_of_another_size(database):
    with lmdb.open(str(database), lock=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b'00000001', b'short')
    with pytest.raises(InputError, match=r"'00000001' is not what meta_info\.json says"):
        PlanesReader(database).frame('00000001').planes[:, :, :]


def test_an_empty_database_is_not_written(tmp_path):
    with pytest.raises(InputError, match='would be empty'), planes_writer(tmp_path / 'a.lmdb'):
        pass
    assert not list(tmp_path.iterdir())
