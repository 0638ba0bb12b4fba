"""Real photographs, as folders of pairs and as LMDB databases."""

from __future__ import annotations

import pytest

from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.demo.photographs import photograph
from tests.support.pictures import write_png

NAMES = ('chelsea', 'coffee', 'rocket', 'umang')


@pytest.fixture(scope='session')
def bright():
    """Four real photographs, cut down to keep the tests quick."""
    return {name: photograph(name)[40:240, 60:300].copy() for name in NAMES}


@pytest.fixture(scope='session')
def pairs(tmp_path_factory, bright):
    """Folders and databases ``lq`` and ``gt``; dark images are negatives of the bright ones, to match pixels by."""
    root = tmp_path_factory.mktemp('pairs')
    with lmdb_writer(root / 'gt.lmdb') as gt, lmdb_writer(root / 'lq.lmdb') as lq:
        for name, image in bright.items():
            write_png(root / 'gt' / f'{name}.png', image)
            write_png(root / 'lq' / f'{name}.png', 255 - image)
            gt.put(name, image)
            lq.put(name, 255 - image)
    return root
