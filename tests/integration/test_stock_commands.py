"""BasicSR's stock commands, in processes of their own, with the plugin installed and no GPU needed."""

import importlib.util
import re
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from tests.support.commands import (
    ROOT,
    TORCHRUN,
    options_for_testing,
    python,
    stock_options,
    write_options,
    write_pairs,
)

SITE_PACKAGES = sysconfig.get_path('purelib')
TINY_IRSDE = {
    'model_type': 'IRSDEModel',
    'network_g': {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]},
    'prediction': 'x0',
    'sampler': {'type': 'posterior', 'steps': 2},
}


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs'), ('chelsea', 'coffee', 'rocket'))


@pytest.fixture(scope='module')
def trained(tmp_path_factory, pairs):
    """Where ``python -m basicsr.train`` ran with BasicSR's own model, under the plugin's loss; and what it printed."""
    folder = tmp_path_factory.mktemp('trained')
    opt = stock_options('stock', pairs)
    opt['train']['pixel_opt'] = {'type': 'SpatialEntropyLoss', 'levels': 8}
    opt['datasets']['train'] |= {'prefetch_mode': 'cuda', 'pin_memory': True}
    code, out, err = python('-m', 'basicsr.train', '-opt', write_options(folder, opt), cwd=folder)
    assert code == 0, out + err
    return folder, opt, err


def weights(folder, name, iteration='latest'):
    return torch.load(folder / f'experiments/{name}/models/net_g_{iteration}.pth', weights_only=True)['params']


def test_training_without_a_gpu(trained):
    folder, _, err = trained
    if not torch.cuda.is_available():
        assert 'warning: num_gpu: 1, but there is no CUDA device here' in err
        assert "warning: datasets.train.prefetch_mode: 'cuda' needs a CUDA device" in err
    assert 'found in sys.modules' not in err
    log = next((folder / 'experiments/stock').glob('train_*.log')).read_text()
    assert 'lr:(2.000e-04,)' in log
    assert 'Loss [SpatialEntropyLoss] is created.' in log
    assert {int(found) for found in re.findall(r'psnr: .* @ (\d+) iter', log)} <= {2, 4}
    first, last = weights(folder, 'stock', 2), weights(folder, 'stock')
    assert any(not torch.equal(first[key], last[key]) for key in first)


def test_outputs_lie_under_the_working_directory(trained):
    folder = trained[0]
    assert {path.name for path in folder.iterdir()} - {'tb_logger'} == {'experiments', 'stock.yml'}
    if importlib.util.find_spec('tensorboard'):  # which comes with BasicSR's requirements
        assert list((folder / 'tb_logger/stock').glob('events.*'))
    assert (folder / 'experiments/stock/visualization/coffee/coffee_4.png').is_file()
    stray = [Path(SITE_PACKAGES, name, 'stock') for name in ('experiments', 'results', 'tb_logger')]
    assert not [path for path in stray if path.exists()]


def test_resuming_passes_over_a_cut_off_state(trained):
    folder, opt, _ = trained
    state = folder / 'experiments/stock/training_states/4.state'
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    more = opt | {'train': opt['train'] | {'total_iter': 6}}
    code, out, err = python('-m', 'basicsr.train', '-opt', write_options(folder, more), '--auto_resume', cwd=folder)
    assert code == 0, out + err
    assert f'warning: cannot resume from {state}: {state} is truncated.' in err
    assert 'Resuming training from epoch: 1, iter: 2.' in err  # epoch 0 was done
    assert [path.name for path in (folder / 'experiments').glob('[!.]*')] == ['stock']
    assert (folder / 'experiments/stock/training_states/6.state').is_file()


def test_test_command(trained):
    folder, opt, _ = trained
    options = options_for_testing(opt, 'tested', 'experiments/stock/models/net_g_latest.pth')
    code, out, err = python('-m', 'basicsr.test', '-opt', write_options(folder, options), cwd=folder)
    assert code == 0, out + err
    assert (folder / 'results/tested/visualization/pairs/coffee_tested.png').is_file()


def test_checkout(tmp_path, pairs, basicsr_checkout):
    """The plugin's own model, by the scripts of a BasicSR that is not installed and has no version.py."""
    opt = stock_options('sde', pairs, **TINY_IRSDE)
    opt['train'] |= {'objective': 'x0', 'total_iter': 2}
    before = sorted(path for path in basicsr_checkout.rglob('*') if '__pycache__' not in path.parts)
    script = basicsr_checkout / 'basicsr/train.py'
    path = str(basicsr_checkout)
    code, out, err = python(script, '-opt', write_options(tmp_path, opt), cwd=tmp_path, PYTHONPATH=path)
    assert code == 0, out + err
    log = next((tmp_path / 'experiments/sde').glob('train_*.log')).read_text()
    assert 'BasicSR: 1.4.2' in log
    assert 'Model [IRSDEModel] is created.' in log

    options = options_for_testing(opt, 'sde_test', 'experiments/sde/models/net_g_latest.pth')
    script = basicsr_checkout / 'basicsr/test.py'
    code, out, err = python(script, '-opt', write_options(tmp_path, options), cwd=tmp_path, PYTHONPATH=path)
    assert code == 0, out + err
    assert (tmp_path / 'results/sde_test/visualization/pairs/coffee_sde_test.png').is_file()
    assert sorted(path for path in basicsr_checkout.rglob('*') if '__pycache__' not in path.parts) == before


SWIN = {'type': 'SwinIR', 'img_size': 16, 'window_size': 8, 'depths': [1], 'num_heads': [1], 'embed_dim': 4}


TRAINING_THAT_NAMES_ITS_LAST_THREADS = """
import atexit, pathlib, runpy

def name_threads():
    print('threads:', *(path.read_text().strip() for path in pathlib.Path('/proc/self/task').glob('*/comm')))

if __name__ == '__main__':  # not in a worker
    atexit.register(name_threads)  # first, so that it is called last
    runpy.run_module('basicsr.train', run_name='__main__')
"""


def test_two_processes_over_gloo(tmp_path, pairs):
    """Validation between two trainings of a network with buffers, without EMA: on the bare network, or the processes
    fall out of step."""
    opt = stock_options('ddp', pairs, network_g=SWIN | {'upsampler': '', 'upscale': 1})
    opt['train'] |= {'ema_decay': 0}
    opt['datasets']['train'] |= {'num_worker_per_gpu': 1, 'prefetch_mode': 'cpu', 'dataset_enlarge_ratio': 4}
    opt |= {'manual_seed': None}
    script = tmp_path / 'train.py'
    script.write_text(TRAINING_THAT_NAMES_ITS_LAST_THREADS)
    path = write_options(tmp_path, opt)
    code, out, err = python(*TORCHRUN, script, '-opt', path, '--launcher', 'pytorch', cwd=tmp_path)
    assert code == 0, out + err
    assert 'World size (gpu number): 2' in err
    assert 'Save the latest model.' in err
    if sys.platform == 'linux':
        last_threads = re.findall(r'threads: (.*)', out)
        assert len(last_threads) == 2
        assert 'gloo' not in ' '.join(last_threads)


def test_launcher_that_passes_local_rank(tmp_path, pairs, basicsr_checkout):
    path = write_options(tmp_path, stock_options('launch', pairs))
    launcher = ('-m', 'torch.distributed.launch', '--standalone', '--nproc_per_node=2')
    command = (*launcher, basicsr_checkout / 'basicsr/train.py', '-opt', path, '--launcher', 'pytorch')
    code, out, err = python(*command, cwd=tmp_path, PYTHONPATH=str(basicsr_checkout))
    assert code == 0, out + err
    assert 'Save the latest model.' in err


def test_own_command_where_startup_files_are_not_read(tmp_path, pairs):
    """With fewer images than a batch, too: an error instead of a training of no iterations."""
    opt = stock_options('few', pairs)
    opt['datasets']['train']['batch_size_per_gpu'] = 4
    paths = f'{ROOT}:{SITE_PACKAGES}'
    options = write_options(tmp_path, opt)
    code, _, err = python('-S', '-m', 'entropy_sde_plugin.train', '-opt', options, cwd=tmp_path, PYTHONPATH=paths)
    assert code == 1
    assert err.splitlines()[-1].startswith("error: Dataset 'pairs' gives a process 3 images per epoch")
    assert 'Traceback' not in err
