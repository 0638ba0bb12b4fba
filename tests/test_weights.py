"""Models in files: every kind that is around, of any size, and nothing but data in them."""

import json
import os
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from entropy_sde_plugin.archs import ConditionalNAFNet
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import ModelOptions, model_options
from entropy_sde_plugin.weights import Model, load_model, save_model

SIZES = [
    {'width': 8, 'enc_blk_nums': [1, 2], 'middle_blk_num': 2, 'dec_blk_nums': [2, 1]},
    {'width': 4, 'enc_blk_nums': [0, 1, 1], 'middle_blk_num': 0, 'dec_blk_nums': [1, 0, 1], 'img_channel': 1},
]
SETTINGS = {'sde': {'max_sigma': 30.0, 'T': 50, 'schedule': 'linear', 'eps': 0.01}, 'prediction': 'x0'}


def network_of(size, seed=0):
    torch.manual_seed(seed)
    return ConditionalNAFNet(**size).eval()


def assert_same(network, other):
    state = other.state_dict()
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_bare_weights_tell_their_size_and_are_read_under_the_papers_settings(tmp_path, size, prefix):
    network = network_of(size)
    torch.save({prefix + key: value for key, value in network.state_dict().items()}, tmp_path / 'bare.pth')
    with pytest.warns(UserWarning, match=r"bare\.pth.*no SDE settings.*'max_sigma': 50"):
        model = load_model(tmp_path / 'bare.pth')
    assert_same(model.network, network)
    assert not model.network.training
    assert model.options == ModelOptions()


def test_of_a_checkpoint_the_average_is_taken(tmp_path):
    raw, average = network_of(SIZES[0], 1), network_of(SIZES[0], 2)
    content = {'params': raw.state_dict(), 'params_ema': average.state_dict(), 'entropy_sde': SETTINGS}
    torch.save(content, tmp_path / 'net_g_7.pth')
    model = load_model(tmp_path / 'net_g_7.pth')
    assert_same(model.network, average)
    assert (model.prediction, model.process.T, model.process.stationary_std) == ('x0', 50, 30 / 255)


def test_safetensors_keep_weights_and_settings(tmp_path):
    model = Model(network_of(SIZES[0]), model_options(SETTINGS))
    save_model(model, tmp_path / 'model.safetensors')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read = load_model(tmp_path / 'model.safetensors')
    assert_same(read.network, model.network)
    assert read.options == model.options
    assert load_file(tmp_path / 'model.safetensors').keys() == model.network.state_dict().keys()
    assert [path.name for path in tmp_path.iterdir()] == ['model.safetensors']


class Malicious:
    def __reduce__(self):
        return os.mkdir, ('was_executed',)


def a_state():
    return dict(network_of(SIZES[0]).state_dict())


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        ('a.pth', {'params': {'x': Malicious()}}, 'cannot be read'),
        ('a.pth', {'params': 3}, 'not a state dict'),
        ('a.pth', {'epoch': 3}, 'hold no state dict: entries epoch'),
        ('a.pth', [1], 'hold a list'),
        ('a.pth', {'conv.weight': torch.zeros(1)}, "'intro.weight' is missing"),
        ('a.pth', {**a_state(), 'encoders.1.0.beta': torch.zeros(3)}, r'encoders\.1\.0\.beta'),
        ('a.pth', {**a_state(), 'extra': torch.zeros(3)}, 'extra'),
        ('a.pth', {'params': a_state(), 'entropy_sde': {'sde': {'max_sigmas': 3}}}, "Did you mean 'max_sigma'"),
        ('a.pth', {'params': a_state(), 'entropy_sde': 3}, 'must be a dictionary'),
    ],
)
def test_wrong_files_get_one_clear_line_and_run_nothing(tmp_path, monkeypatch, name, content, told):
    monkeypatch.chdir(tmp_path)
    torch.save(content, name)
    with pytest.raises(InputError, match=told) as caught:
        load_model(name)
    assert name in str(caught.value)
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_wrong_safetensors_get_one_clear_line(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(b'no header')
    with pytest.raises(InputError, match=r'a\.safetensors.*cannot be read'):
        load_model(path)
    save_file(a_state(), path, {'entropy_sde': '{'})
    with pytest.raises(InputError, match=r'a\.safetensors.*cannot be read'):
        load_model(path)
    save_file(a_state(), path, {'entropy_sde': json.dumps({'prediction': 'x1'})})
    with pytest.raises(InputError, match='prediction'):
        load_model(path)


def test_a_safetensors_file_is_called_one(tmp_path):
    with pytest.raises(InputError, match=r'must end in \.safetensors'):
        save_model(Model(network_of(SIZES[0]), ModelOptions()), tmp_path / 'model.pth')
