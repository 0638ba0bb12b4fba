"""Folders, files and runs of any name: not UTF-8, with line breaks, emoji and control characters."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from basicsr.test import test_pipeline as run_test
from basicsr.train import train_pipeline as run_training

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.evaluation.records import read_metrics
from tests.support.hostile import materials

pytestmark = pytest.mark.usefixtures('one_run')

ODD = os.fsdecode(b'caf\xe9\n') + '🌃 \x1b[31m'
SHOWN = 'caf%E9%0A🌃 %1B[31m'


@pytest.fixture
def opt(tmp_path, monkeypatch):
    """Everything has the odd name: the working directory, folders, two images, the data set and the run."""
    place = tmp_path / ODD
    place.mkdir()
    monkeypatch.chdir(place)
    materials.write_folders(Path())
    top, below, *_ = materials.NAMES
    for kind in ('lq', 'gt'):
        folder = Path(kind).rename(f'{kind}{ODD}')
        (folder / ODD).mkdir()
        (folder / f'{top}.png').rename(folder / f'{ODD}.png')
        (folder / f'{below}.png').rename(folder / ODD / f'{below}.png')
    opt = materials.training(ODD)
    opt['datasets']['val']['name'] = opt['name'] = ODD
    opt['train']['total_iter'] = 1
    opt['val'] |= {'save_img': True, 'val_freq': 1}
    opt['logger'] |= {'save_checkpoint_freq': 1, 'use_tb_logger': True}
    return opt


def run(monkeypatch, pipeline, opt, *more):
    path = Path(f'{pipeline.__name__}{ODD}.yml')
    path.write_text(yaml.safe_dump(opt))
    monkeypatch.setattr(sys, 'argv', [pipeline.__name__, '-opt', str(path), *more])
    pipeline('.')


def test_train_resume_test_and_report(opt, monkeypatch, log, capfd):
    run(monkeypatch, run_training, opt)
    opt['train']['total_iter'] = 2
    run(monkeypatch, run_training, opt, '--auto_resume')
    assert 'Resuming training from epoch' in log.text
    tested = {key: opt[key] for key in opt if key not in ('train', 'logger')}
    tested['path'] = {'pretrain_network_g': f'experiments/{ODD}/models/net_g_latest.pth'}
    tested['datasets'] = {'test': opt['datasets']['val']}
    run(monkeypatch, run_test, tested)

    names = {SHOWN, f'{SHOWN}/{materials.NAMES[1]}', *materials.NAMES[2:]}
    runs = [Path('experiments', ODD), Path('results', ODD)]
    for folder, iterations in zip(runs, (['1', '2'], ['']), strict=True):
        rows = [(row['iteration'], row['dataset'], row['image']) for row in read_metrics(folder)]
        assert sorted(rows) == sorted((at, SHOWN, name) for at in iterations for name in names)
        assert len([*folder.rglob('*.png')]) == len(rows)
    assert main(['report', *map(str, runs), '-o', f'{ODD}.html']) == 0
    page = Path(f'{ODD}.html').read_text(encoding='utf-8')
    assert SHOWN in page
    assert page.count('data:image/png') == 4 * len(names)  # input, truth and two results of each
    err = capfd.readouterr().err
    assert f"TensorBoard cannot write to '{Path.cwd()}".replace(ODD, SHOWN) in err
    assert '\x1b' not in err


def test_a_fault_is_one_line(opt, capsys):
    Path(f'gt{ODD}', f'{ODD}.png').write_bytes(b'')
    assert main(['evaluate', '--result', f'lq{ODD}', '--truth', f'gt{ODD}', '--metrics', 'psnr']) == 1
    assert capsys.readouterr().err == (
        f'error: gt{SHOWN}/{SHOWN}.png: not a readable image (damaged, or not JPEG, PNG, WebP, TIFF, BMP, AVIF or '
        'HEIC); get the file again, or convert it.\n'
    )
