"""Trainings that are stopped, killed or fail, and go on: to the bit what they would have been without.

Ten iterations, in epochs of five; validations at 3, 6, 9 and the end; checkpoints at 5 and 10, and where something
happens.
"""

import copy
import re
import shutil

import pytest
import torch

from entropy_sde_plugin.checkpoints.model import Model, load_model, save_model
from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.options.diffusion import LLDiffusionOptions
from tests.support import ENTROPY
from tests.support.commands import ROOT, TORCHRUN, python, stock_options, write_options, write_pairs
from tests.support.forks import python_m
from tests.support.lldiffusion import SMALL, small_network
from tests.support.records import metrics_table

NAFNET = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}
LLDIFFUSION = {'type': 'LLDiffusionNet', **SMALL}
TEACHER = 'teacher.safetensors'
# With dropped paths, which BasicSR's own networks draw from the global generator.
SWIN = {'type': 'SwinIR', 'img_size': 16, 'window_size': 8, 'depths': [2], 'num_heads': [1], 'embed_dim': 4}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('runs')
    write_pairs(path / 'pairs', ('chelsea', 'coffee', 'rocket'))
    return path


def options(folder, **sections):
    """Five iterations an epoch: nine draws of three photographs, and a tenth that fills the last batch."""
    opt = stock_options('', folder / 'pairs', **sections)
    opt['datasets']['train'] |= {'dataset_enlarge_ratio': 3}
    opt['train'] |= {'total_iter': 10, 'warmup_iter': 4}
    opt['val'] |= {'val_freq': 3, 'save_img': False}
    opt['logger'] |= {'save_checkpoint_freq': 5, 'use_tb_logger': False}
    return opt


def irsde(folder):
    """Random neighbour weights, an average of the weights, a schedule: what a state has to know."""
    opt = options(folder, model_type='IRSDEModel', network_g=NAFNET, prediction='x0', sampler={'steps': 2})
    pairs = {'name': 'pairs', 'type': 'PairedLowLightDataset'}
    for dataset in opt['datasets'].values():
        dataset |= pairs
    for dataset in opt['datasets'].values():
        dataset.pop('io_backend')
    opt['train'] |= {'entropy_opt': ENTROPY, 'objective': 'x0', 'ema_warmup': True, 'grad_clip_norm': 0.5}
    return opt


def lldiffusion(folder):
    """Four iterations in epochs of three. Several crops, a teacher, the two times of a sampler, an encoder frozen after
    the second."""
    opt = irsde(folder) | {'model_type': 'LLDiffusionModel', 'network_g': LLDIFFUSION, 'prediction': 'v'}
    opt['sampler'] = {'type': 'ddim', 'times': [999, 500]}
    save_model(Model(small_network(), LLDiffusionOptions.from_settings({'prediction': 'x0'})), folder / TEACHER)
    opt['train'] |= {'times': 'sampler', 'distillation': {'teacher': TEACHER, 'teacher_steps': 3}}
    opt['datasets']['train'] |= {'crops_per_image': 3, 'batch_size_per_gpu': 1, 'dataset_enlarge_ratio': 1}
    del opt['train']['objective']
    opt['train'] |= {'degradation_opt': {'type': 'L1Loss'}, 'freeze': {'after_iter': 2}, 'resume_schedule': True}
    opt['train'] |= {
        'total_iter': 4,
        'warmup_iter': 2,
        'scheduler': {'type': 'MultiStepLR', 'milestones': [1, 3], 'gamma': 0.5},
    }
    opt['val'] |= {'val_freq': 4}
    opt['logger'] |= {'save_checkpoint_freq': 4}
    return opt


def exposurediffusion(folder):
    """Synthetic raw images, learned weights of the network calls, photon counts."""
    opt = options(folder, model_type='ExposureDiffusionModel', network_g=NAFNET | {'type': 'ExposureNAFNet'})
    data = {'type': 'SyntheticRawDataset', 'dataroot_gt': str(folder / 'pairs/gt')}
    for key, dataset in opt['datasets'].items():
        kept = {name: dataset[name] for name in dataset if name not in ('dataroot_lq', 'dataroot_gt', 'io_backend')}
        opt['datasets'][key] = kept | data
    opt['datasets']['train'] |= {'gt_size': 8, 'dataset_enlarge_ratio': 2}
    del opt['train']['pixel_opt']
    opt['train'] |= {'total_iter': 6, 'ema_warmup': True}
    opt['logger'] |= {'save_checkpoint_freq': 6}
    opt['val']['metrics'] = {
        'psnr': {'type': 'calculate_psnr', 'crop_border': 0},
        'raw': {'type': 'calculate_psnr_raw'},
    }
    return opt


def swin(folder):
    return options(folder, network_g=SWIN | {'upsampler': '', 'upscale': 1, 'drop_path_rate': 0.5})


def train(folder, opt, name, *arguments, module='basicsr.train', processes=1, torchrun=False, **changes):
    """Run a trainer; return its exit code and all it printed. Changes: ``section__key=value``."""
    opt = copy.deepcopy(opt) | {'name': name}
    sections = {**opt, 'data': opt['datasets']['train']}
    for change, value in changes.items():
        section, key = change.split('__')
        sections[section][key] = value
    command = [module, '-opt', write_options(folder, opt), *arguments]
    if processes > 1:
        command += ['--launcher', 'pytorch']
    if torchrun:
        code, out, err = python(*TORCHRUN, '-m', *command, cwd=folder, PYTHONPATH=str(ROOT))
    else:
        code, out, err = python_m(*command, cwd=folder, processes=processes)
    return code, out + err


def accident(step, what, to='process', times=1):
    return {'type': 'AccidentL1', 'step': step, 'accidents': [{'what': what, 'to': to}] * times}


ACCIDENTS = 'tests.support.accidents'


def states(folder, name):
    found = (folder / 'experiments' / name / 'training_states').iterdir()
    return sorted(int(path.stem) for path in found)


def checkpoint(folder, name, iteration=10):
    experiment = folder / 'experiments' / name
    files = (f'training_states/{iteration}.state', f'models/net_g_{iteration}.pth')
    return [torch.load(experiment / file, weights_only=True) for file in files]


def table(folder, name):
    return metrics_table(folder / 'experiments' / name, without=['seconds'])


def differences(first, second, place=''):
    """Where two nested values differ in a bit."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [place]
    if isinstance(first, dict):
        different = [f'{place}.{key}' for key in first.keys() ^ second.keys()]
        return different + [
            d for k in first.keys() & second.keys() for d in differences(first[k], second[k], f'{place}.{k}')
        ]
    if isinstance(first, (list, tuple)):
        if len(first) != len(second):
            return [place]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, pair in pairs for d in differences(*pair, f'{place}.{i}')]
    return [] if first == second else [f'{place}: {first}, {second}']


def test_a_training_that_is_stopped_killed_and_fails(folder):
    """In a validation, by a signal to the whole group with workers, by an error; through both commands."""
    opt = irsde(folder)
    code, output = train(folder, opt, 'whole')
    assert code == 0, output

    psnr = {'type': 'accident_psnr', 'what': 'SIGUSR1', 'crop_border': 0}
    code, output = train(folder, opt, 'cut', module=ACCIDENTS, val__metrics={'psnr': psnr})
    assert code == 128 + 10, output
    assert 'SIGUSR1: the training stops after iteration 3' in output
    assert states(folder, 'cut') == [3]
    assert not (folder / 'experiments/cut/metrics.csv').exists()

    loss = accident(step=1, what='SIGTERM', to='group')
    code, output = train(
        folder, opt, 'cut', '--auto_resume', module=ACCIDENTS, train__pixel_opt=loss, data__num_worker_per_gpu=2
    )
    assert code == 128 + 15, output
    assert 'Validating iteration 3' in output
    assert 'Epoch 0 continues after 6 of its 10 draws' in output
    assert states(folder, 'cut') == [3, 4]
    assert 'Traceback' not in output  # of no worker

    loss = accident(step=4, what='error')
    code, output = train(folder, opt, 'cut', '--auto_resume', module=ACCIDENTS, train__pixel_opt=loss)
    assert code == 1, output
    assert output.rstrip().endswith('RuntimeError: an accident of these tests')
    assert 'The training fails: iteration 7 is saved.' in output
    assert states(folder, 'cut') == [3, 4, 5, 7]

    shutil.copytree(folder / 'experiments/cut', folder / 'experiments/epochs_end')
    code, output = train(folder, opt, 'cut', '--auto_resume')
    assert code == 0, output
    named = str(folder / 'experiments/epochs_end/training_states/5.state')
    code, output = train(folder, opt, 'epochs_end', module='entropy_sde_plugin.train', path__resume_state=named)
    assert code == 0, output
    assert 'Resuming training from epoch: 1, iter: 5.' in output
    for name in ('cut', 'epochs_end'):
        assert differences(checkpoint(folder, 'whole'), checkpoint(folder, name)) == []
        assert table(folder, name) == table(folder, 'whole')
    assert {row['iteration'] for row in table(folder, 'whole')} == {'3', '6', '9', '10'}


def test_a_training_that_is_stopped_before_and_after_its_encoder_is_frozen(folder):
    opt = lldiffusion(folder)
    code, output = train(folder, opt, 'frozen')
    assert code == 0, output
    for step, iteration, resume in ((1, 1, ()), (2, 3, ('--auto_resume',))):
        loss = accident(step, what='SIGTERM')
        code, output = train(folder, opt, 'frozen_cut', *resume, module=ACCIDENTS, train__pixel_opt=loss)
        assert code == 128 + 15, output
        assert f'SIGTERM: the training stops after iteration {iteration}' in output
    code, output = train(folder, opt, 'frozen_cut', '--auto_resume')
    assert code == 0, output
    assert differences(checkpoint(folder, 'frozen', 4), checkpoint(folder, 'frozen_cut', 4)) == []
    assert load_model(folder / 'experiments/frozen/models/net_g_4.pth').options.sampler.times == (999, 500)
    assert table(folder, 'frozen_cut') == table(folder, 'frozen')


def test_a_training_on_raw_images_that_is_stopped_in_a_validation(folder):
    opt = exposurediffusion(folder)
    code, output = train(folder, opt, 'exposed')
    assert code == 0, output
    metrics = opt['val']['metrics'] | {'psnr': {'type': 'accident_psnr', 'what': 'SIGTERM', 'crop_border': 0}}
    code, output = train(folder, opt, 'exposed_cut', module=ACCIDENTS, val__metrics=metrics)
    assert code == 128 + 15, output
    assert states(folder, 'exposed_cut') == [3]
    code, output = train(folder, opt, 'exposed_cut', '--auto_resume')
    assert code == 0, output
    assert differences(checkpoint(folder, 'exposed', 6), checkpoint(folder, 'exposed_cut', 6)) == []
    assert table(folder, 'exposed_cut') == table(folder, 'exposed')
    state, saved = checkpoint(folder, 'exposed', 6)
    assert differences(state['call_weights'], saved['call_weights']) == []


def test_basicsrs_own_model_and_dataset(folder):
    """Which draw from global generators, in the process and in workers; no validation changes a training."""
    opt = swin(folder) | {'manual_seed': None}
    code, output = train(folder, opt, 'swin')
    assert code == 0, output
    seed = int(re.search(r'manual_seed: (\d+)', output).group(1))

    loss = accident(step=4, what='SIGINT')
    code, output = train(folder, opt | {'manual_seed': seed}, 'swin_cut', module=ACCIDENTS, train__pixel_opt=loss)
    assert code == 128 + 2, output
    assert states(folder, 'swin_cut') == [4]
    code, output = train(folder, opt, 'swin_cut', '--auto_resume', data__num_worker_per_gpu=2, val__val_freq=1000)
    assert code == 0, output
    (whole, weights), (state, resumed_weights) = (checkpoint(folder, name) for name in ('swin', 'swin_cut'))
    assert differences(weights, resumed_weights) == []
    best, resumed_best = (each['run'].pop('best_metric_results')['pairs']['psnr'] for each in (whole, state))
    assert (best['iter'], resumed_best['iter']) == (9, 3)
    for each in (whole, state):
        del each['run']['validation_due']
    assert differences(whole, state) == []

    code, output = train(folder, opt | {'manual_seed': seed + 1}, 'swin_cut', '--auto_resume')
    assert code == 1
    assert output.rstrip().splitlines()[-1].startswith(f'error: manual_seed is {seed + 1}, but the training to resume')


def test_two_processes_that_torchrun_stops(folder):
    """torchrun hands SIGTERM on to its children and their workers; each goes on with generators of its own."""
    opt = swin(folder)
    opt['datasets']['train'] |= {'dataset_enlarge_ratio': 6}
    code, output = train(folder, opt, 'two', processes=2)
    assert code == 0, output
    loss = accident(step=4, what='SIGTERM', to='torchrun')
    code, output = train(
        folder,
        opt,
        'two_cut',
        module=ACCIDENTS,
        processes=2,
        torchrun=True,
        train__pixel_opt=loss,
        data__num_worker_per_gpu=1,
    )
    assert code != 0
    assert 'Unable to shutdown' not in output  # within torchrun's patience of 30 seconds
    assert 'SIGTERM: the training stops after iteration 4' in output
    assert states(folder, 'two_cut') == [4]
    code, output = train(folder, opt, 'two_cut', '--auto_resume', processes=2)
    assert code == 0, output
    assert differences(checkpoint(folder, 'two'), checkpoint(folder, 'two_cut')) == []
    first, second = checkpoint(folder, 'two')[0]['run']['generators']
    assert differences(first, second) != []

    # Alone and with half the batch, an epoch has 18 steps instead of 5: epochs 0 and 1 hold all that is left.
    optim_g = opt['train']['optim_g'] | {'lr': 1e-3}
    fewer = {'data__batch_size_per_gpu': 1, 'train__total_iter': 36, 'logger__save_checkpoint_freq': 36}
    code, output = train(folder, opt, 'two', '--auto_resume', train__optim_g=optim_g, val__val_freq=36, **fewer)
    assert code == 0, output
    assert states(folder, 'two') == [5, 10, 36]
    assert 'without effect: train.optim_g.lr was 0.0002 and is 0.001.' in output
    assert 'Epoch 0 continues after 10 of its 18 draws' in output
    assert 'the random generators of 2 processes: those beyond the 1 of this run are ignored' in output
    before, after = (checkpoint(folder, 'two', iteration)[0]['optimizers'][0]['param_groups'] for iteration in (10, 36))
    assert differences(before, after) == []


def test_a_second_signal_ends_at_once(folder):
    loss = accident(step=2, what='SIGTERM', times=2)
    code, output = train(folder, swin(folder), 'twice', module=ACCIDENTS, train__pixel_opt=loss)
    assert code == -15
    assert 'Traceback' not in output
    assert states(folder, 'twice') == []


def test_data_that_are_lost_in_training_end_it_with_a_line(folder):
    """The workers that find it out, and are ended with the process, say nothing of their own."""
    with lmdb_writer(folder / 'lost.lmdb') as database:
        for name in ('chelsea', 'coffee', 'rocket'):
            database.put(name, photograph(name)[:48, :48])
    opt = irsde(folder)
    opt['datasets']['train'] |= {'dataroot_gt': str(folder / 'lost.lmdb'), 'dataset_enlarge_ratio': 30}
    opt['logger'] |= {'save_checkpoint_freq': 100}  # after the end: how far the workers come before it is chance
    loss = accident(step=2, what='removal', to=str(folder / 'lost.lmdb'))
    code, output = train(
        folder, opt, 'lost', module=ACCIDENTS, train__pixel_opt=loss, train__total_iter=40, data__num_worker_per_gpu=2
    )
    assert code == 1, output
    failed = re.findall(r'The training fails: (.*)', output)
    assert failed == [f'iteration {states(folder, "lost")[-1]} is saved.']
    *_, last = output.rstrip().splitlines()
    reason = 'it has no readable data.mdb (there is no such file or folder)'
    assert last == f"error: '{folder / 'lost.lmdb'}' is not an LMDB database: {reason}."
    assert 'Traceback' not in output
