"""Unusual but sound data, as a user meets it: unlike images, wide ones, one read-only database for two trainings."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.lmdb import LmdbReader
from tests.support.commands import TIMEOUT, python
from tests.support.hostile import materials


def test_two_trainings_read_one_database_in_a_read_only_folder(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    materials.write_databases(data)
    opt = materials.training('.lmdb')
    for phase, dataset in opt['datasets'].items():
        opt['datasets'][phase] = dataset | {key: f'{data}/{dataset[key]}' for key in ('dataroot_lq', 'dataroot_gt')}
    opt['datasets']['train']['num_worker_per_gpu'] = 1
    before = {path: path.stat().st_mtime_ns for path in data.rglob('*')}
    for path in [*before, data]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ''}
    trainings = []
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        command = [sys.executable, '-m', 'basicsr.train', '-opt', materials.write_options(tmp_path / name, opt)]
        pipes = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True}
        trainings.append(subprocess.Popen(command, cwd=tmp_path / name, env=environment, **pipes))
    errors = [training.communicate(timeout=TIMEOUT)[1] for training in trainings]
    for path in [data, *before]:
        path.chmod(0o755)
    assert [training.returncode for training in trainings] == [0, 0], errors
    assert all('psnr' in error for error in errors)
    assert {path: path.stat().st_mtime_ns for path in data.rglob('*')} == before


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Weights, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'model.pth').write_bytes(materials.checkpoint())
    return 'model.pth'


def test_a_picture_of_20000_pixels_side_by_side_is_enhanced_and_scored(model, tmp_path, capsys):
    wide = np.tile(materials.picture(materials.NAMES[0])[:12], (1, 500, 1))
    for folder, values in (('dark', wide // 4), ('gt', wide)):
        (tmp_path / folder).mkdir()
        PIL.Image.fromarray(values).save(tmp_path / folder / 'wide.png')
    assert main(['enhance', '-i', 'dark', '-o', 'bright', '--model', model, '--steps', '1']) == 0
    assert PIL.Image.open(tmp_path / 'bright' / 'wide.png').size == (20000, 12)
    assert main(['evaluate', '--result', 'bright', '--truth', 'gt', '--metrics', 'psnr', 'ssim']) == 0
    assert '| result | ' in capsys.readouterr().out


def test_gray_wide_turned_and_oddly_named_images_are_trained_on_and_validated(tmp_path):
    """One name is not UTF-8, one image lies in a subfolder; a Chinese comment in the options, under an ASCII locale."""
    materials.write_folders(tmp_path)
    gray, wide, turned, *_ = materials.NAMES
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for folder in (tmp_path / 'lq', tmp_path / 'gt'):
        PIL.Image.open(folder / f'{gray}.png').convert('L').save(folder / f'{gray}.png')
        (folder / f'{gray}.png').rename(folder / os.fsdecode(b'caf\xe9.png'))
        (folder / 'sub').mkdir()
        PIL.Image.fromarray(np.tile(materials.picture(wide), (1, 50, 1))).save(folder / 'sub' / f'{wide}.png')
        (folder / f'{wide}.png').unlink()
        PIL.Image.open(folder / f'{turned}.png').save(folder / f'{turned}.tif', exif=exif)
        (folder / f'{turned}.png').unlink()
    opt = materials.training()
    opt['val']['save_img'] = True
    file = tmp_path / materials.write_options(tmp_path, opt)
    file.write_bytes('# 夜景\n'.encode() + file.read_bytes())
    ascii_locale = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0'}
    command = ('-X', 'utf8=0', '-m', 'basicsr.train', '-opt', file.name)
    code, _, err = python(*command, cwd=tmp_path, **ascii_locale)
    assert code == 0, err
    run = tmp_path / 'experiments' / 'run'
    kept = run / 'visualization'
    assert {PIL.Image.open(path).size for path in kept.rglob(f'{wide}*.png')} == {(2000, 40)}
    assert len([*kept.rglob('caf%E9*.png')]) == 1
    names = [line.split(',')[3] for line in (run / 'metrics.csv').read_text(encoding='utf-8').splitlines()]
    assert names == ['image', *sorted(['caf%E9', f'sub/{wide}', turned, *materials.NAMES[3:]])]


def test_a_16_bit_picture_is_named_by_training_and_enhanced_with_its_bits(model, tmp_path, capsys):
    import cv2

    materials.write_folders(tmp_path)
    values = materials.picture(materials.NAMES[0]).astype(np.uint16) * 64
    assert cv2.imwrite(str(tmp_path / 'deep.png'), values)
    assert main(['enhance', '-i', 'deep.png', '-o', 'bright', '--model', model, '--steps', '1']) == 0
    assert cv2.imread(str(tmp_path / 'bright' / 'deep.png'), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    (tmp_path / 'deep.png').replace(tmp_path / 'gt' / f'{materials.NAMES[0]}.png')
    assert main(['evaluate', '--result', 'lq', '--truth', 'gt', '--metrics', 'psnr']) == 1
    assert f'gt/{materials.NAMES[0]}.png: 16-bit samples; convert it to 8 bits' in capsys.readouterr().err


def test_a_database_without_a_key_is_reported_before_the_training(tmp_path):
    materials.write_databases(tmp_path)
    meta = tmp_path / 'gt.lmdb' / 'meta_info.txt'
    meta.write_text(meta.read_text().replace(materials.NAMES[1], 'stranger'))
    with pytest.raises(ValueError, match=r"gt\.lmdb': meta_info\.txt names 'stranger', which is not in data\.mdb"):
        LmdbReader(tmp_path / 'gt.lmdb')
