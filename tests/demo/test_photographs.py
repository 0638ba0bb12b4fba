"""The photographs in the package and the demo's databases."""

from __future__ import annotations

import re

import cv2
import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio

from entropy_sde_plugin.data.lmdb import LmdbReader
from entropy_sde_plugin.demo import photographs
from entropy_sde_plugin.errors import InputError


def test_training_and_validation_share_no_photograph():
    assert photographs.HELD_OUT == ('astronaut', 'coffee', 'china', 'life', 'friends', 'seeding')
    assert len(photographs.TRAIN) == 16
    assert not set(photographs.TRAIN) & set(photographs.HELD_OUT)
    pictures = [photographs.photograph(n) for n in photographs.TRAIN + photographs.HELD_OUT]
    thumbs = np.array([cv2.resize(p, (8, 8), interpolation=cv2.INTER_AREA).ravel() for p in pictures], float)
    distance = np.abs(thumbs[:, None] - thumbs[None]).mean(-1) + 1e3 * np.eye(len(thumbs))
    assert distance.min() > 10  # no two of them show the same


def test_every_photograph_is_attributed():
    attribution = (photographs.FOLDER / 'ATTRIBUTION.md').read_text()
    rows = {
        r[0]: r[1:]
        for r in re.findall(r'^\| (\S+\.jpg) \| (.+?) \| (.+?) \| .+? \| (\d+)x(\d+) \|$', attribution, re.M)
    }
    assert set(rows) == {path.name for path in photographs.FOLDER.glob('*.jpg')}
    for name, (author, licence, width, height) in rows.items():
        assert author
        assert re.match(r'public domain|CC0|CC-BY', licence)
        assert PIL.Image.open(photographs.FOLDER / name).size == (int(width), int(height))
    notice = (photographs.FOLDER / 'NOTICE').read_text()
    for family in {re.sub(r'-(?=\d)', ' ', licence) for _, licence, *_ in rows.values()} - {'public domain', 'CC0'}:
        assert family in notice


def test_demo_databases(demo_databases):
    assert sorted(path.name for path in demo_databases.iterdir()) == ['train_gt.lmdb', 'val_gt.lmdb', 'val_lq.lmdb']
    train, lq, gt = (LmdbReader(demo_databases / f'{name}.lmdb') for name in ('train_gt', 'val_lq', 'val_gt'))
    assert train.names == photographs.TRAIN
    assert lq.names == gt.names
    assert set(lq.names) == {f'{name}_e{e}' for name in photographs.HELD_OUT for e in ('005', '010')}
    psnr = [peak_signal_noise_ratio(gt.image(name), lq.image(name)) for name in lq.names]
    assert np.mean(psnr) == pytest.approx(8.7, abs=0.3)
    np.testing.assert_array_equal(gt.image('china_e005'), photographs.photograph('china'))


@pytest.fixture
def few(monkeypatch):
    """Two photographs of each kind, to be quick."""
    monkeypatch.setattr(photographs, 'TRAIN', photographs.TRAIN[:2])
    monkeypatch.setattr(photographs, 'HELD_OUT', photographs.HELD_OUT[:2])


@pytest.mark.usefixtures('few')
def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first, again, other = (
        photographs.write_demo_databases(tmp_path / name, seed=seed) for name, seed in (('a', 0), ('b', 0), ('c', 1))
    )
    for file in ('train_gt.lmdb/data.mdb', 'val_lq.lmdb/data.mdb', 'val_lq.lmdb/meta_info.txt'):
        assert (again / file).read_bytes() == (first / file).read_bytes()
    assert (other / 'val_lq.lmdb/data.mdb').read_bytes() != (first / 'val_lq.lmdb/data.mdb').read_bytes()
    assert (other / 'val_gt.lmdb/data.mdb').read_bytes() == (first / 'val_gt.lmdb/data.mdb').read_bytes()


@pytest.mark.usefixtures('few')
def test_noise_belongs_to_the_pair(demo_databases, tmp_path):
    """Which other photographs there are does not matter."""
    alone = LmdbReader(photographs.write_demo_databases(tmp_path / 'few', seed=0) / 'val_lq.lmdb')
    among_others = LmdbReader(demo_databases / 'val_lq.lmdb')
    assert alone.read('coffee_e010') == among_others.read('coffee_e010')


@pytest.mark.usefixtures('few')
def test_writing_again_replaces_databases_but_nothing_else(tmp_path):
    folder = photographs.write_demo_databases(tmp_path / 'demo', seed=0)
    before = (folder / 'val_lq.lmdb/data.mdb').read_bytes()
    photographs.write_demo_databases(folder, seed=1)
    assert (folder / 'val_lq.lmdb/data.mdb').read_bytes() != before
    (folder / 'thesis.tex').write_text('years of work')
    with pytest.raises(InputError, match=r'more than databases \(thesis\.tex\)'):
        photographs.write_demo_databases(folder)
    assert (folder / 'thesis.tex').read_text() == 'years of work'
    assert [path.name for path in tmp_path.iterdir()] == ['demo']


@pytest.mark.usefixtures('few')
def test_further_photographs_join_the_training(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    folder = photographs.write_demo_databases(tmp_path / 'more', more=[('mate_dune', picture)])
    train = LmdbReader(folder / 'train_gt.lmdb')
    assert train.names == (*photographs.TRAIN, 'mate_dune')
    np.testing.assert_array_equal(train.image('mate_dune'), picture)
    assert 'mate_dune' not in LmdbReader(folder / 'val_gt.lmdb').names
