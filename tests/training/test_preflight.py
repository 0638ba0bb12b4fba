"""Data sets and weights that do not fit their options: reported with the option's line before a run leaves anything."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from basicsr.test import test_pipeline as run_test
from basicsr.train import train_pipeline as run_training

from entropy_sde_plugin.checkpoints import weights_file
from entropy_sde_plugin.checkpoints.model import load_model, save_model
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.check import check
from entropy_sde_plugin.training import preflight
from tests.support.forks import python_m
from tests.support.hostile import materials

pytestmark = pytest.mark.usefixtures('one_run')


def change(opt, option, value):
    *sections, key = option.split('.')
    section = opt
    for name in sections:
        section = section[name]
    section[key] = value


def line_of(opt, option):
    """The line, counted from 1, of an option that is written in block style."""
    *sections, key = option.split('.')
    lines = yaml.safe_dump(opt, sort_keys=False).splitlines()
    place = 0
    for depth, name in enumerate([*sections, key]):
        place = next(n for n in range(place, len(lines)) if lines[n].startswith(f'{"  " * depth}{name}:'))
    return place + 1


def error_of(monkeypatch, opt, run=run_training):
    """What the pipeline says of options; it must leave nothing behind."""
    file = materials.write_options(Path(), opt)
    before = sorted(Path().rglob('*'))
    monkeypatch.setattr(sys, 'argv', [run.__name__, '-opt', file])
    with pytest.raises(InputError) as caught:
        run('.')
    assert sorted(Path().rglob('*')) == before
    return str(caught.value)


@pytest.fixture(params=['', '.lmdb'], ids=['folders', 'databases'])
def suffix(request):
    """Pairs of images of 40 x 40 pixels in the working directory."""
    (materials.write_databases if request.param else materials.write_folders)(Path())
    return request.param


# --- data sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'value', 'words'),
    [
        ('datasets.train.gt_size', 41, 'crops of 41 pixels .* do not fit into any of its 4 images'),
        ('datasets.train.dataroot_gt', 'nowhere', "'nowhere' is not a folder"),
        ('datasets.train.dataroot_lq', 'nowhere.lmdb', "'nowhere.lmdb' is not an image database"),
        ('datasets.val.dataroot_gt', '', 'is empty: name a folder or a database'),
        ('datasets.val.dataroot_lq', 'n' * 3000, 'cannot be read \\(File name too long\\)'),
        ('datasets.val.meta_info_file', 'names.txt', "meta_info_file 'names.txt' cannot be read"),
        ('datasets.train.batch_size_per_gpu', 5, 'gives a process 4 images per epoch, fewer than its batch of 5'),
        ('datasets.train.dataset_enlarge_ratio', 1e12, 'makes an epoch of 4e\\+12 images'),
        ('val.metrics.psnr.crop_border', 20, "cuts 20 pixels off every side, and 'datasets.val' .* 40x40"),
    ],
)
def test_what_a_data_set_lacks_is_reported_with_its_line(monkeypatch, suffix, option, value, words):
    opt = materials.training(suffix)
    change(opt, option, value)
    message = error_of(monkeypatch, opt)
    assert message.startswith(f'opt.yml, line {line_of(opt, option)}: ')
    assert re.search(words, message)


def test_each_picture_that_is_too_small_has_a_line(monkeypatch):
    materials.write_folders(Path())
    opt = materials.training()
    small = [materials.NAMES[0], materials.NAMES[2]]
    for name in small:
        for folder in ('lq', 'gt'):
            Path(folder, f'{name}.png').write_bytes(materials.encode(materials.picture(name)[:15], 'png'))
    where = f'opt.yml, line {line_of(opt, "datasets.train.gt_size")}: '
    assert [line.split(' is ')[0] for line in error_of(monkeypatch, opt).splitlines()] == [
        f'{where}lq/{name}.png' for name in small
    ]


def test_synthesised_pairs_are_looked_at_too(monkeypatch):
    materials.write_databases(Path())
    opt = materials.training('.lmdb')
    loader = {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    bright = {'name': 'bright', 'type': 'SyntheticLowLightDataset', 'dataroot_gt': 'gt.lmdb'}
    opt['datasets'] = {'train': {**bright, 'gt_size': 41, **loader}, 'val': bright}
    assert f'line {line_of(opt, "datasets.train.gt_size")}: gt.lmdb: crops of 41' in error_of(monkeypatch, opt)
    opt['datasets']['train']['gt_size'] = 16
    opt['val']['metrics']['psnr']['crop_border'] = 30
    assert f'line {line_of(opt, "val.metrics.psnr.crop_border")}: ' in error_of(monkeypatch, opt)


def test_a_test_is_reported_as_well(monkeypatch):
    materials.write_folders(Path())
    opt = materials.testing()
    opt['datasets']['test']['dataroot_lq'] = 'nowhere'
    line = line_of(opt, 'datasets.test.dataroot_lq')
    assert error_of(monkeypatch, opt, run_test).startswith(f"opt.yml, line {line}: 'nowhere' is not a folder")


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=['pth', 'safetensors'])
def weights(request):
    """A file of weights that fit `materials.training`."""
    Path('good.pth').write_bytes(materials.checkpoint())
    if request.param == 'pth':
        return 'good.pth'
    save_model(load_model('good.pth'), 'good.safetensors')
    return 'good.safetensors'


@pytest.mark.parametrize('read_whole', [None, 0], ids=['small', 'large'])
@pytest.mark.parametrize(
    ('option', 'value', 'words'),
    [
        ('sde.T', 5, 'trained under another diffusion (sde.T: trained with 4, the options have 5)'),
        ('prediction', 'noise', 'prediction: trained with x0, the options have noise'),
        ('network_g.width', 8, "do not fit the options' network_g"),
        ('path.pretrain_network_g', 'nowhere.pth', "Weights 'nowhere.pth' do not exist"),
        ('path.pretrain_network_g', 'gt', "Weights 'gt' are a folder"),
        ('path.pretrain_network_g', 'w' * 3000, 'do not exist'),
        ('path.pretrain_network_g', 'cut.pth', "Weights 'cut.pth' cannot be read as a checkpoint"),
    ],
)
@pytest.mark.parametrize('run', [run_training, run_test])
def test_weights_of_other_options_are_reported_with_their_line(
    monkeypatch, weights, run, option, value, words, read_whole
):
    if read_whole is not None:
        monkeypatch.setattr(weights_file, '_SMALL', read_whole)
    materials.write_folders(Path())
    whole = materials.checkpoint()
    Path('cut.pth').write_bytes(whole[: len(whole) // 2])
    opt = materials.training() if run is run_training else materials.testing()
    opt['path']['pretrain_network_g'] = weights
    change(opt, option, value)
    message = error_of(monkeypatch, opt, run)
    assert message.startswith(f'opt.yml, line {line_of(opt, "path.pretrain_network_g")}: ')
    assert words in message


def test_weights_that_fit_pass_and_a_resumed_training_needs_none(monkeypatch, weights):
    materials.write_folders(Path())
    opt = materials.training() | {'is_train': True, 'auto_resume': False, 'dist': False, 'world_size': 1}
    for name, section in opt['datasets'].items():
        section['phase'] = name
    opt['path']['pretrain_network_g'] = weights
    preflight.check(opt, check(opt))
    Path(weights).unlink()
    with pytest.raises(InputError, match='do not exist'):
        preflight.check(opt, check(opt))
    opt['path']['resume_state'] = 'experiments/run/training_states/1.state'
    preflight.check(opt, check(opt))
    opt['path']['ignore_resume_networks'] = 'network_g'
    with pytest.raises(InputError, match='do not exist'):
        preflight.check(opt, check(opt))


def test_another_entry_of_the_weights_is_reported(monkeypatch, capfd):
    materials.write_folders(Path())
    state = materials.network().state_dict()
    opt = materials.training() | {'is_train': True, 'auto_resume': False, 'dist': False, 'world_size': 1}
    for name, section in opt['datasets'].items():
        section['phase'] = name
    opt['path'] |= {'pretrain_network_g': 'one.pth', 'param_key_g': 'params_ema'}
    torch.save({'params_ema': state, 'params': state}, 'one.pth')
    preflight.check(opt, check(opt))
    assert capfd.readouterr().err == ''
    torch.save({'params': state}, 'one.pth')
    preflight.check(opt, check(opt))
    assert "hold no 'params_ema' (path.param_key_g): using 'params'" in capfd.readouterr().err
    torch.save({'params_d': state}, 'one.pth')
    with pytest.raises(InputError, match='do not hold a state dict; their entries: params_d'):
        preflight.check(opt, check(opt))


def test_numbers_of_small_weights_are_looked_at(monkeypatch):
    materials.write_folders(Path())
    state = {key: value.clone() for key, value in materials.network().state_dict().items()}
    state['ending.bias'][0] = float('nan')
    torch.save({'params': state}, 'nan.pth')
    opt = materials.training()
    opt['path']['pretrain_network_g'] = 'nan.pth'
    assert "'ending.bias' does not hold finite numbers" in error_of(monkeypatch, opt)


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('module', ['basicsr.train', 'entropy_sde_plugin.train'])
def test_commands_tell_it_in_one_line_and_make_nothing(tmp_path, module):
    materials.write_folders(Path())
    opt = materials.training()
    opt['datasets']['train']['gt_size'] = 41
    code, out, err = python_m(module, '-opt', materials.write_options(Path(), opt), cwd=tmp_path)
    assert code == 1
    assert err.startswith(f'error: opt.yml, line {line_of(opt, "datasets.train.gt_size")}: lq: crops of 41 pixels')
    assert err.count('\n') == 1
    assert 'INFO' not in out
    assert {path.name for path in tmp_path.iterdir()} == {'lq', 'gt', 'opt.yml'}
