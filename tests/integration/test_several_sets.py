"""Several validation sets, and keys with folders: every picture has a file, a noise and a record of its own."""

import sys
from pathlib import Path

import cv2
import pytest
from basicsr.test import test_pipeline as run_test
from basicsr.train import train_pipeline as run_training

from entropy_sde_plugin.data.lmdb import lmdb_writer
from tests.support.hostile import materials
from tests.support.records import metrics_table

pytestmark = pytest.mark.usefixtures('one_run')
KEYS = ('a/00001', 'b/00001', '00001')


@pytest.fixture
def opt():
    """Two sets of a picture that has the same name in both, and a database that has it three times more."""
    materials.write_folders(Path())
    opt = materials.training()
    for kind in ('lq', 'gt'):
        picture = cv2.imread(f'{kind}/{materials.NAMES[0]}.png')[..., ::-1]
        for folder in ('one', 'two'):
            path = Path(folder, kind, '00001.png')
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), picture[..., ::-1])
        with lmdb_writer(f'{kind}_keys.lmdb') as database:
            for key in KEYS:
                database.put(key, picture)
    folders = {name: {'dataroot_lq': f'{name}/lq', 'dataroot_gt': f'{name}/gt'} for name in ('one', 'two')}
    keys = {'dataroot_lq': 'lq_keys.lmdb', 'dataroot_gt': 'gt_keys.lmdb'}
    stock = {'type': 'PairedImageDataset', 'io_backend': {'type': 'lmdb'}, **keys}
    opt['datasets'] |= {
        'val': {'name': 'first', 'type': 'PairedLowLightDataset', **folders['one']},
        'val_2': {'name': 'second', 'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'}, **folders['two']},
        'val_3': {'name': 'keys', 'type': 'PairedLowLightDataset', **keys},
        'val_4': {'name': 'stock_keys', **stock},
    }
    opt['val'] |= {'save_img': True, 'val_freq': 1}
    opt['train']['total_iter'] = 1
    opt['scale'] = 1  # which BasicSR's own set asks for
    return opt


def run(monkeypatch, opt, pipeline):
    monkeypatch.setattr(sys, 'argv', [pipeline.__name__, '-opt', materials.write_options(Path(), opt)])
    pipeline('.')


def test_each_picture_has_its_file_noise_and_record(monkeypatch, opt, log):
    run(monkeypatch, opt, run_training)
    assert 'only' not in log.text
    names = [(name, '00001') for name in ('first', 'second')]
    names += [(name, key) for name in ('keys', 'stock_keys') for key in KEYS]
    trained = Path('experiments/run')
    check(trained, names, [f'{name}/{key}/00001_1.png' for name, key in names])

    tested = {key: opt[key] for key in opt if key not in ('train', 'logger')} | {'name': 'tested'}
    tested['path'] = {'pretrain_network_g': str(trained / 'models' / 'net_g_latest.pth')}
    tested['datasets'] = {key: section for key, section in opt['datasets'].items() if key != 'train'}
    run(monkeypatch, tested, run_test)
    check(Path('results/tested'), names, [f'{name}/{key}_tested.png' for name, key in names])


def check(folder, names, files):
    visualization = folder / 'visualization'
    assert sorted(str(path.relative_to(visualization)) for path in visualization.rglob('*.png')) == sorted(files)
    # All are of one picture: what differs is the noise.
    assert len({(visualization / file).read_bytes() for file in files}) == len(files)
    rows = [(row['dataset'], row['image']) for row in metrics_table(folder)]
    assert sorted(rows) == sorted(names)
