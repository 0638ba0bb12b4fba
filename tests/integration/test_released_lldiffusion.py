"""A checkpoint in the layout of LLDiffusion's release goes through enhance, convert and BasicSR's test."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.test import test_pipeline as run_test
from safetensors.torch import load_file

from entropy_sde_plugin.checkpoints.model import Model
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.options.diffusion import LLDiffusionOptions
from tests.support.commands import write_pairs
from tests.support.lldiffusion import SMALL, released_checkpoint, small_network

pytestmark = [pytest.mark.usefixtures('one_run'), pytest.mark.filterwarnings('ignore:.*carries no settings')]
PRECISE = ('--device', 'cpu', '--precision', 'fp32', '--steps', '2')


@pytest.fixture(scope='module')
def networks():
    """The current weights, and their average with the current vectors of the spectral norms."""
    current, average = small_network(1), small_network(2)
    average.load_state_dict(dict(current.named_buffers()), strict=False)
    return current, average


@pytest.fixture(autouse=True)
def files(networks, tmp_path, one_run):
    """Released weights and a pair of images, in the working directory."""
    torch.save(released_checkpoint(*networks, older=True), tmp_path / 'released.pth')
    write_pairs(tmp_path, ['coffee'], size=80)


def enhanced(network, **options):
    given = EnhancerOptions(device='cpu', precision='fp32', steps=2, **options)
    return Enhancer(Model(network, LLDiffusionOptions()), given).enhance(read('lq/coffee.png'))


def read(path):
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def test_enhance_takes_the_average(networks):
    current, average = networks
    assert main(['enhance', '-i', 'lq/coffee.png', '-o', 'out', '--model', 'released.pth', *PRECISE]) == 0
    np.testing.assert_array_equal(read('out/coffee.png'), enhanced(average))
    assert (read('out/coffee.png') != enhanced(current)).any()


def test_enhance_works_in_patches(networks):
    how = ('--tile', '64', '--stride', '10')
    assert main(['enhance', '-i', 'lq/coffee.png', '-o', 'out', '--model', 'released.pth', *PRECISE, *how]) == 0
    np.testing.assert_array_equal(read('out/coffee.png'), enhanced(networks[1], tile=64, stride=10))
    assert (read('out/coffee.png') != enhanced(networks[1])).any()


def test_convert_writes_the_average(networks):
    assert main(['convert', 'released.pth', 'a.safetensors']) == 0
    torch.testing.assert_close(load_file('a.safetensors'), dict(networks[1].state_dict()), rtol=0, atol=0)


def test_a_test_takes_the_weights_that_it_names(networks, monkeypatch, tmp_path):
    torch.save({f'params{key}': net.state_dict() for key, net in zip(('', '_ema'), networks, strict=True)}, 'own.pth')
    results = {}
    for weights in ('released', 'own'):
        for key in ('params', 'params_ema'):
            opt = {
                'name': f'{weights}_{key}',
                'model_type': 'LLDiffusionModel',
                'num_gpu': 0,
                'manual_seed': 0,
                'sampler': {'type': 'ddim', 'steps': 2},
                'network_g': {'type': 'LLDiffusionNet', **SMALL},
                'datasets': {
                    'test': {
                        'name': 'one',
                        'type': 'PairedLowLightDataset',
                        'dataroot_gt': 'gt',
                        'dataroot_lq': 'lq',
                    }
                },
                'path': {'pretrain_network_g': f'{weights}.pth', 'param_key_g': key},
                'val': {'save_img': True, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
            }
            (tmp_path / 'opt.yml').write_text(yaml.safe_dump(opt))
            monkeypatch.setattr(sys, 'argv', ['test', '-opt', 'opt.yml'])
            run_test(str(tmp_path))
            (made,) = (tmp_path / 'results' / opt['name']).rglob('*.png')
            results[weights, key] = read(made)
    for key in ('params', 'params_ema'):
        np.testing.assert_array_equal(results['released', key], results['own', key])
    assert (results['own', 'params'] != results['own', 'params_ema']).any()
