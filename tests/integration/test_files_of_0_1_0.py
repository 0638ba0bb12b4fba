"""Checkpoints, training states and safetensors that version 0.1.0 wrote still load, resume and enhance."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from tests.support.forks import python_m

FOLDER = Path(__file__).with_name('files_of_0.1.0')
WEIGHTS = [FOLDER / 'models' / 'net_g_4.pth', FOLDER / 'converted.safetensors']


@pytest.mark.parametrize('path', WEIGHTS, ids=lambda path: path.name)
def test_weights_load_as_those_of_irsde(path):
    model = load_model(path)
    assert model.options.system == 'irsde'
    assert model.prediction == 'x0'
    expected = torch.load(WEIGHTS[0], weights_only=True)['params_ema']
    assert model.network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in model.network.state_dict().items())


@pytest.mark.parametrize('path', WEIGHTS, ids=lambda path: path.name)
def test_they_enhance_as_before(path):
    options = EnhancerOptions(device='cpu', precision='fp32', sampler='posterior', steps=4, brightness='model')
    enhancer = Enhancer(load_model(path), options)
    dark, expected = (np.asarray(Image.open(FOLDER / name)).astype(int) for name in ('dark.png', 'enhanced.png'))
    assert np.abs(enhancer.enhance(dark.astype(np.uint8)).astype(int) - expected).max() <= 1


def test_a_state_resumes_to_the_same_weights(tmp_path):
    shutil.copytree(FOLDER / 'pictures', tmp_path / 'pictures')
    for kind, name in (('models', 'net_g_2.pth'), ('training_states', '2.state')):
        (tmp_path / 'experiments/old' / kind).mkdir(parents=True)
        shutil.copy(FOLDER / kind / name, tmp_path / 'experiments/old' / kind / name)
    command = ['basicsr.train', '-opt', FOLDER / 'train.yml', '--force_yml', 'train:total_iter=6']
    code, out, err = python_m(*command, 'path:resume_state=experiments/old/training_states/2.state', cwd=tmp_path)
    assert code == 0, out + err

    made, expected, before = (
        torch.load(path, weights_only=True)
        for path in (
            tmp_path / 'experiments/old/models/net_g_6.pth',
            FOLDER / 'resumed/net_g_6.pth',
            FOLDER / 'models/net_g_2.pth',
        )
    )
    for entry in ('params', 'params_ema'):
        learned = flat(expected[entry]) - flat(before[entry])
        assert (flat(made[entry]) - flat(expected[entry])).norm() < 1e-4 * learned.norm()


def flat(state):
    return torch.cat([value.flatten().double() for value in state.values()])
