"""The models under BasicSR's own trainer, in processes of its own, on the packaged photographs."""

import copy
import re

import pytest
import torch
import yaml

from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.utils.resources import options_folder
from tests.support import ENTROPY
from tests.support.commands import write_options
from tests.support.forks import python_m


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A working directory that holds the demonstration's databases."""
    path = tmp_path_factory.mktemp('runs')
    write_demo_databases(path / 'datasets')
    return path


def options(name, **train):
    """The demonstration's options, smaller: a tiny network, four iterations, no validation."""
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text())
    opt |= {'name': name, 'network_g': TINY_NETWORK}
    opt['train'] |= {'total_iter': 4, 'warmup_iter': -1} | train
    opt['datasets']['train'] |= {'gt_size': 32, 'batch_size_per_gpu': 4}
    del opt['val'], opt['datasets']['val']
    return opt


TINY_NETWORK = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}


def run(folder, opt, processes=1, module='basicsr.train'):
    """Run one of BasicSR's commands; return its exit code and all it printed."""
    launcher = ['--launcher', 'pytorch'] if processes > 1 else []
    code, out, err = python_m(module, '-opt', write_options(folder, opt), *launcher, cwd=folder, processes=processes)
    return code, out + err


def weights(folder, name, key='params'):
    return torch.load(folder / 'experiments' / name / 'models' / 'net_g_latest.pth', weights_only=True)[key]


def irsde(name):
    return options(name, pixel_opt=ENTROPY, objective='previous_state')


def lldiffusion(name):
    """Antithetic times over both processes; in the second iteration they share other gradients than in the first.

    SGD, since Adam would blow up the rounding of biases in front of a norm, whose gradient is zero.
    """
    sgd = {'type': 'SGD', 'lr': 0.1}
    freeze, degradation = {'after_iter': 1, 'skip_degradation': True}, {'type': 'L1Loss'}
    opt = options(name, entropy_opt=ENTROPY, degradation_opt=degradation, freeze=freeze, optim_g=sgd, total_iter=2)
    del opt['sde'], opt['train']['objective']
    network = {'type': 'LLDiffusionNet', 'ch': 32, 'ch_mult': [1] * 6, 'num_res_blocks': 1, 'enc_ch': 2}
    return opt | {'model_type': 'LLDiffusionModel', 'network_g': network}


def exposurediffusion(name):
    """Exposures, photon counts and synthesis keyed by the image; the weights of the calls are averaged too."""
    opt = options(name, entropy_opt=ENTROPY, optim_g={'type': 'SGD', 'lr': 0.1})
    for key in ('sde', 'prediction', 'sampler'):
        del opt[key]
    del opt['train']['pixel_opt'], opt['train']['objective']
    data = {'name': 'photographs', 'type': 'SyntheticRawDataset', 'dataroot_gt': 'datasets/train_gt.lmdb'}
    opt['datasets']['train'] = data | {'gt_size': 16, 'batch_size_per_gpu': 4, 'num_worker_per_gpu': 0}
    network = TINY_NETWORK | {'type': 'ExposureNAFNet'}
    return opt | {'model_type': 'ExposureDiffusionModel', 'network_g': network}


@pytest.mark.parametrize('system', [irsde, lldiffusion, exposurediffusion])
def test_two_processes_are_one_with_the_doubled_batch(folder, system):
    """Random neighbour weights, fresh noise and augmentation: all of it keyed, none shared by accident. What is left is
    the order of floating point sums."""
    one = system(f'{system.__name__}_one')
    two = copy.deepcopy(one) | {'name': f'{system.__name__}_two'}
    two['datasets']['train']['batch_size_per_gpu'] = 2
    for opt, processes in ((one, 1), (two, 2)):
        code, output = run(folder, opt, processes)
        assert code == 0, output
    start = weights_at_start(one)
    for key in ('params', 'params_ema', *(('call_weights',) if system is exposurediffusion else ())):
        first, second = weights(folder, one['name'], key), weights(folder, two['name'], key)
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=1e-3, atol=2e-5)
        assert any((first[name] - start.get(name, 1 / 3)).abs().max() > 1e-3 for name in first)


def weights_at_start(opt):
    from basicsr.archs import build_network
    from basicsr.utils import set_random_seed

    set_random_seed(opt['manual_seed'])
    return build_network(opt['network_g']).state_dict()


def test_training_and_testing_must_agree_on_the_diffusion(folder):
    train = options('settings')
    assert run(folder, train)[0] == 0
    test = options('settings_test')
    test['datasets'] = {'test': {'name': 'held_out', 'type': 'PairedLowLightDataset', **VALIDATION}}
    test['path'] = {'pretrain_network_g': 'experiments/settings/models/net_g_latest.pth', 'strict_load_g': True}
    test['val'] = {'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}}
    test['sde']['max_sigma'] = 30
    code, output = run(folder, test, module='basicsr.test')
    assert code == 1
    assert re.search(r'^error: .*sde\.max_sigma: trained with 50\.0, the options have 30\.0', output, re.MULTILINE)
    assert 'Traceback' not in output


VALIDATION = {'dataroot_lq': 'datasets/val_lq.lmdb', 'dataroot_gt': 'datasets/val_gt.lmdb'}


def test_the_last_checkpoints_are_kept(folder):
    opt = options('kept', keep_last_checkpoints=2)
    opt['logger']['save_checkpoint_freq'] = 1
    code, output = run(folder, opt)
    assert code == 0, output
    files = {
        path.name for kind in ('models', 'training_states') for path in (folder / 'experiments/kept' / kind).iterdir()
    }
    assert files == {'3.state', '4.state', 'net_g_3.pth', 'net_g_4.pth', 'net_g_latest.pth'}


def test_a_misspelt_option_ends_in_one_line(folder):
    code, output = run(folder, options('misspelt', objectve='x0'))
    assert code == 1
    last = output.strip().splitlines()[-1]
    assert re.fullmatch(r"error: .*misspelt\.yml, line \d+: Unknown option 'train\.objectve'\. Did you mean .*", last)
    assert 'Traceback' not in output
    assert not (folder / 'experiments' / 'misspelt').exists()
