"""The demonstration, whole, through the command: reduced photographs, a tiny network, two iterations."""

import errno
import os
import re

import numpy as np
import pytest
from PIL import Image

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.data.lmdb import LmdbReader
from entropy_sde_plugin.demo import photographs
from entropy_sde_plugin.demo.photographs import HELD_OUT
from entropy_sde_plugin.evaluation.baselines import BASELINES
from tests.support.pictures import write_png


@pytest.fixture(autouse=True)
def reduced(monkeypatch, tmp_path):
    """Photographs of a ninth of the pixels, and a working directory."""
    whole = photographs.photograph
    monkeypatch.setattr(photographs, 'photograph', lambda name: whole(name)[::3, ::3])
    monkeypatch.chdir(tmp_path)


def test_the_demonstration_leaves_a_table_and_a_picture(tmp_path, capfd):
    short = ['train:total_iter=2', 'sampler:steps=1', 'datasets:train:gt_size=32']
    short += ['network_g:width=4', 'network_g:enc_blk_nums=[1]', 'network_g:dec_blk_nums=[1]']
    code = main(['demo', '-o', 'out', '--force_yml', *short])
    out, err = capfd.readouterr()
    assert code == 0, out + err
    assert 'Traceback' not in err

    table = (tmp_path / 'out' / 'table.md').read_text()
    assert table in out
    rows = dict(re.findall(r'^\| (.+?) \| ([\d.]+) \|', table, re.MULTILINE))
    assert set(rows) == {*BASELINES, 'Entropy-SDE (this run)'}
    assert 8.6 < float(rows['dark input']) < 9.1  # the protocol's mean input

    # BasicSR's validator and the table agree.
    log = next((tmp_path / 'out' / 'experiments' / 'demo').glob('train_*.log')).read_text()
    logged = float(re.findall(r'# psnr: ([\d.]+)', log)[-1])
    assert abs(logged - float(rows['Entropy-SDE (this run)'])) < 0.006

    sheet = np.asarray(Image.open(tmp_path / 'out' / 'demo.png').convert('L'), dtype=float)
    height = (sheet.shape[0] - 26) // len(HELD_OUT)
    before, truth = (sheet[26 : 26 + height, x : x + 280] for x in (8, 8 + 2 * 294))
    assert before.mean() < 0.5 * truth.mean()


def test_a_failing_training_is_reported(tmp_path, capfd):
    assert main(['demo', '-o', 'out', '--force_yml', 'train:objective=x1']) == 1
    err = capfd.readouterr().err
    assert "'x1' is not one of its values" in err
    assert err.strip().splitlines()[-1].startswith('error: The training stopped with exit code 1')
    assert not (tmp_path / 'out' / 'table.md').exists()


def test_a_training_that_saved_no_images_is_reported(monkeypatch, capfd):
    """The training is a mock."""
    monkeypatch.setattr('entropy_sde_plugin.demo.run._train', lambda *_: None)
    assert main(['demo', '-o', 'out', '--force_yml', 'val:save_img=false']) == 1
    err = capfd.readouterr().err
    assert re.fullmatch(
        r"error: 'out/experiments/.*' holds no image of '\w+.*': leave save_img .* as they are\.\n", err
    )


def test_a_disk_that_is_full_at_the_end_leaves_no_half_of_a_table(tmp_path, monkeypatch, capfd):
    """Training and disk are mocks."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def train(folder, overrides):
        dark = LmdbReader(folder / 'datasets' / 'val_lq.lmdb')
        for key in dark.names:
            write_png(folder / 'experiments/demo/visualization/held_out' / key / f'{key}_2.png', dark.image(key))
        monkeypatch.setattr(os, 'fsync', full)

    monkeypatch.setattr('entropy_sde_plugin.demo.run._train', train)
    monkeypatch.setattr('entropy_sde_plugin.demo.run.BASELINES', {})
    assert main(['demo', '-o', 'out']) == 1
    assert "error: 'out/table.md' could not be written: No space left on device." in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['datasets', 'experiments']
