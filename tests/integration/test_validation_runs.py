"""BasicSR's trainer and tester, in processes of their own: what their validations leave behind."""

import hashlib
import json
import re

import cv2
import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.utils.resources import options_folder
from tests.support.commands import options_for_testing, write_options, write_pairs
from tests.support.forks import python_m
from tests.support.records import metrics_table

NAMES = ('coffee', 'chelsea', 'rocket')
FOLDERS = ('experiments/trained', 'results/tested')
LOADER = {'batch_size_per_gpu': 1, 'num_worker_per_gpu': 0}
NETWORK = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A training of two processes that validates at iterations 2 and 4, and a test of its weights by one."""
    folder = tmp_path_factory.mktemp('runs')
    pairs = write_pairs(folder / 'pairs', NAMES)
    folders = {'dataroot_gt': str(pairs / 'gt'), 'dataroot_lq': str(pairs / 'lq')}
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text())
    opt |= {'name': 'trained', 'network_g': NETWORK}
    opt['train'] |= {'total_iter': 4, 'warmup_iter': -1}
    opt['datasets'] = {
        'train': {'name': 'pairs', 'type': 'PairedLowLightDataset', 'gt_size': 32} | LOADER | folders,
        'val': {'name': 'three', 'type': 'PairedLowLightDataset'} | folders,
    }
    opt['val'] |= {'val_freq': 2, 'seeds': [0, 1]}
    opt['val']['metrics'] |= {'niqe': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}
    opt['logger'] |= {'print_freq': 1, 'use_tb_logger': True}
    trainer = ['basicsr.train', '-opt', write_options(folder, opt), '--launcher', 'pytorch']
    code, out, err = python_m(*trainer, cwd=folder, processes=2)
    assert code == 0, out + err
    test = options_for_testing(opt, 'tested', 'experiments/trained/models/net_g_latest.pth')
    test['path'] |= {'param_key_g': 'params_ema'}
    code, out, err = python_m('basicsr.test', '-opt', write_options(folder, test), cwd=folder)
    assert code == 0, out + err
    return folder


def scores(rows):
    return [{key: cell for key, cell in row.items() if key not in ('iteration', 'seconds')} for row in rows]


def test_a_row_per_iteration_seed_and_picture(runs):
    rows = metrics_table(runs / 'experiments' / 'trained')
    keys = [(row['iteration'], row['dataset'], row['seed'], row['image']) for row in rows]
    assert keys == [(i, 'three', seed, name) for i in '24' for seed in '01' for name in sorted(NAMES)]
    assert all(float(row['seconds']) > 0 for row in rows)


def test_the_tester_repeats_the_trainers_table(runs):
    trained = [row for row in metrics_table(runs / 'experiments' / 'trained') if row['iteration'] == '4']
    tested = metrics_table(runs / 'results' / 'tested')
    assert scores(tested) == scores(trained)
    assert {row['iteration'] for row in tested} == {''}


def test_the_kept_pictures_score_what_the_table_says(runs):
    """PSNR by its formula, of the image files against the photographs."""
    for row in metrics_table(runs / 'results' / 'tested'):
        if row['seed'] == '0':
            name = row['image']
            places = (
                'experiments/trained/visualization/three/{0}/{0}_4.png',
                'results/tested/visualization/three/{0}_tested.png',
            )
            truth = photograph(name)[:48, :48].astype(float)
            for place in places:
                picture = cv2.imread(str(runs / place.format(name)))[..., ::-1].astype(float)
                psnr = 10 * np.log10(255**2 / np.mean((picture - truth) ** 2))
                assert float(row['psnr']) == pytest.approx(psnr, abs=1e-9)


def test_the_log_shows_the_tables_means(runs):
    folder = runs / 'experiments' / 'trained'
    log = next(folder.glob('train_*.log')).read_text()
    rows = [row for row in metrics_table(folder) if row['iteration'] == '4']
    means = [np.mean([float(row['psnr']) for row in rows if row['seed'] == seed]) for seed in '01']
    shown = re.findall(r'# psnr: ([\d.]+) ± ([\d.]+)\tBest: ', log)
    assert len(shown) == 3  # at 2, 4 and the end
    assert shown[-1] == (f'{np.mean(means):.4f}', f'{np.std(means, ddof=1):.4f}')
    assert log.count('# niqe: n/a') == 3
    assert len(re.findall(r'WARNING: val\.metrics\.niqe is n/a: .*NIQE needs', log)) == 1

    events = EventAccumulator(str(runs / 'tb_logger' / 'trained')).Reload()
    values = {event.step: event.value for event in events.Scalars('metrics/three/psnr')}
    assert set(values) == {2, 4}
    assert values[4] == pytest.approx(np.mean(means), rel=1e-6)


def test_the_records_say_what_made_the_figures(runs):
    trained, tested = (json.loads((runs / folder / 'run.json').read_text()) for folder in FOLDERS)
    assert [entry['iteration'] for entry in trained['validations']] == [2, 4]
    assert [entry['sampler']['steps'] for entry in trained['validations']] == [trained['sampler']['steps']] * 2
    last, test = trained['validations'][-1], tested['validations'][0]
    assert (last['processes'], test['processes']) == (2, 1)
    assert last['weights_sha256'] == test['weights_sha256'] != trained['validations'][0]['weights_sha256']
    assert last['data_sha256'] == test['data_sha256']
    assert test['iteration'] is None
    assert trained['options']['train']['optim_g']['type'] == 'AdamW'
    assert trained['sampler'] == tested['sampler']
    assert trained['sampler']['steps'] == trained['options']['sampler']['steps']
    assert (last['seeds'], last['images']) == ([0, 1], 3)
    assert trained['versions']['torch'] == torch.__version__
    mean = np.mean([float(row['seconds']) for row in metrics_table(runs / FOLDERS[1])])
    assert test['seconds_per_image'] == pytest.approx(mean, abs=1e-4)
    weights = (runs / test['weights_file']).read_bytes()
    assert test['weights_file_sha256'] == hashlib.sha256(weights).hexdigest()
