"""Validation: its table, seeds, metrics that cannot run, and two processes beside one."""

import json

import numpy as np
import pytest
import torch
from basicsr.models import build_model
from torch.utils.data import DataLoader

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.check import check
from tests.support.commands import ROOT
from tests.support.forks import python_m
from tests.support.records import metrics_table
from tests.support.validation import METRICS, Pictures, options, validate


def model(folder, **changes):
    torch.manual_seed(0)
    return build_model(options(folder, **changes))


def table(folder):
    return metrics_table(folder, without=['seconds'])


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory):
    """The folder in which two processes did ``tests.support.validation``."""
    folder = tmp_path_factory.mktemp('two_processes')
    code, out, err = python_m('tests.support.validation', folder, cwd=ROOT, processes=2)
    assert code == 0, out + err
    return folder


def test_two_processes_give_the_table_of_one_to_the_last_bit(two_processes, tmp_path):
    """Uneven shards, two seeds, a metric that knows the order, running statistics and no average of the weights."""
    m = model(tmp_path, seeds=[0, 7])
    m.net_g.load_state_dict(torch.load(two_processes / 'weights.pth', weights_only=True))
    validate(m, tmp_path)
    one, two = table(tmp_path), table(two_processes / 'two')
    assert len(one) == 2 * (5 + 1)
    assert one == two
    records = [json.loads((folder / 'run.json').read_text()) for folder in (tmp_path, two_processes / 'two')]
    first, second = (record['validations'][0] for record in records)
    assert (first['processes'], second['processes']) == (1, 2)
    for same in ('data_sha256', 'weights_sha256', 'seeds', 'images'):
        assert first[same] == second[same]


def test_a_process_without_pictures_is_not_missed(two_processes):
    rows = table(two_processes / 'single_picture')
    assert [row['image'] for row in rows] == ['picture0', ''] * 2


def test_a_failure_in_one_process_ends_the_validation_in_both(two_processes):
    first, second = (json.loads((two_processes / f'rank{rank}.json').read_text()) for rank in (0, 1))
    failures = {first['failure'], second['failure']}
    assert 'ZeroDivisionError: a metric of these tests' in failures
    assert any(failure.startswith('OtherProcessError: Process ') for failure in failures)
    assert first['parameters'] == second['parameters']
    assert not (two_processes / 'failed' / 'metrics.csv').exists()


def test_means_and_deviations_are_those_of_the_table(tmp_path, log):
    m = model(tmp_path, seeds=[0, 1, 2])
    validate(m, tmp_path)
    rows = table(tmp_path)
    values = np.array([[float(r['psnr']) for r in rows if r['seed'] == s and r['image']] for s in '012'])
    means = values.mean(axis=1)
    assert len(set(means)) == 3
    shown = f'# psnr: {means.mean():.4f} ± {means.std(ddof=1):.4f}\tBest: {means.mean():.4f} @ 1 iter'
    assert shown in log.text
    assert m.best_metric_results['pictures']['psnr'] == {
        'better': 'higher',
        'val': pytest.approx(means.mean(), abs=1e-12),
        'iter': 1,
    }


def test_without_seeds_the_samplers_seed_is_used(tmp_path):
    m = model(tmp_path)
    m.use_seed(7)
    validate(m, tmp_path / 'alone')
    validate(model(tmp_path, seeds=[0, 7]), tmp_path / 'both')
    assert table(tmp_path / 'alone') == [row for row in table(tmp_path / 'both') if row['seed'] == '7']
    assert m.options.sampler.seed == 7


def test_a_metric_of_the_set_has_a_row_of_its_own(tmp_path):
    validate(model(tmp_path), tmp_path)
    rows = table(tmp_path)
    assert [row['image'] for row in rows] == [f'picture{i}' for i in range(5)] + ['']
    assert all((row['running'] == '') == (row['image'] != '') for row in rows)
    assert rows[-1]['psnr'] == ''
    assert float(rows[-1]['running']) != 0


def test_a_metric_that_cannot_run_leaves_the_others_alone(tmp_path, log):
    m = model(tmp_path, metrics=METRICS | {'lpips': {'type': 'unavailable'}})
    for iteration in (1, 2):
        validate(m, tmp_path, iteration=iteration)
    rows = table(tmp_path)
    assert {row['lpips'] for row in rows if row['image']} == {'n/a'}
    assert all(float(row['psnr']) > 0 for row in rows if row['image'])
    assert log.text.count('\t # lpips: n/a\n') == 2
    assert log.text.count('val.metrics.lpips is n/a: picture0: there are no weights') == 1
    assert 'lpips' not in m.metric_results


def test_weights_that_restore_nothing_get_no_values(tmp_path):
    m = model(tmp_path)
    with torch.no_grad():
        for parameter in m.net_g.parameters():
            parameter.mul_(1e30)
    with pytest.raises(InputError, match=r'^pictures/picture0: The restored image has values that') as caught:
        validate(m, tmp_path)
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_border_that_leaves_nothing_of_a_picture_is_reported(tmp_path, log):
    m = model(tmp_path, metrics=METRICS | {'cut': {'type': 'calculate_psnr', 'crop_border': 500}})
    validate(m, tmp_path)
    assert {row['cut'] for row in table(tmp_path) if row['image']} == {'n/a'}
    assert log.text.count('val.metrics.cut is n/a: picture0: an image of ') == 1
    assert 'is cut away completely by crop_border 500: lower it.' in log.text


def test_a_second_validation_of_an_iteration_takes_the_firsts_place(tmp_path):
    m = model(tmp_path)
    for iteration in (1, 2, 2):
        validate(m, tmp_path, iteration=iteration)
    assert [row['iteration'] for row in table(tmp_path)] == ['1'] * 6 + ['2'] * 6
    assert [entry['iteration'] for entry in json.loads((tmp_path / 'run.json').read_text())['validations']] == [1, 2]


def test_a_file_of_another_kind_is_not_overwritten(tmp_path):
    (tmp_path / 'metrics.csv').write_text('a,b\n1,2\n')
    with pytest.raises(InputError, match=r"metrics\.csv: no column 'iteration'"):
        validate(model(tmp_path), tmp_path)
    assert (tmp_path / 'metrics.csv').read_text() == 'a,b\n1,2\n'


def test_no_pictures_and_no_truth_are_reported(tmp_path):
    m = model(tmp_path)
    with pytest.raises(InputError, match="'pictures' holds no images"):
        m.validation(DataLoader(Pictures(0)), 1, None)
    with pytest.raises(InputError, match="psnr, running compare with ground truth, and 'pictures' has none"):
        m.validation(DataLoader(Pictures(2, truth=False)), 1, None)
    m = model(tmp_path, metrics=None)
    m.validation(DataLoader(Pictures(2, truth=False)), 1, None)
    assert [row['image'] for row in table(tmp_path)] == ['picture0', 'picture1']


@pytest.mark.parametrize(
    ('seeds', 'expected'),
    [([0, 0], 'contains duplicates'), ([], 'val.seeds'), ('a', 'val.seeds'), ([0.5], 'val.seeds')],
)
def test_seeds_are_checked(tmp_path, seeds, expected):
    opt = options(tmp_path, seeds=seeds, val_freq=1)
    opt |= {
        'datasets': {
            'train': {
                'name': 'train',
                'type': 'PairedImageDataset',
                'batch_size_per_gpu': 1,
                'num_worker_per_gpu': 0,
            }
        },
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1},
    }
    opt['network_g'] = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}
    with pytest.raises(InputError, match=expected):
        check(opt)
