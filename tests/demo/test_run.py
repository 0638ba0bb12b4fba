"""The demonstration, whole, through the command, with a tiny network and two iterations instead of thousands."""

import re

import numpy as np
from PIL import Image

from entropy_sde_plugin.demo.photographs import HELD_OUT
from entropy_sde_plugin.evaluation.baselines import BASELINES
from tests.support.forks import python_m


def test_the_demonstration_leaves_a_table_and_a_picture(tmp_path):
    short = ['train:total_iter=2', 'sampler:steps=1', 'datasets:train:gt_size=32']
    short += ['network_g:width=4', 'network_g:enc_blk_nums=[1]', 'network_g:dec_blk_nums=[1]']
    code, out, err = python_m('entropy_sde_plugin.cli', 'demo', '-o', 'out', '--force_yml', *short, cwd=tmp_path)
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


def test_a_failing_training_is_reported(tmp_path):
    wrong = 'train:objective=x1'
    code, _, err = python_m('entropy_sde_plugin.cli', 'demo', '-o', 'out', '--force_yml', wrong, cwd=tmp_path)
    assert code == 1
    assert "'x1' is not one of its values" in err
    assert err.strip().splitlines()[-1].startswith('error: The training stopped with exit code 1')
    assert not (tmp_path / 'out' / 'table.md').exists()
