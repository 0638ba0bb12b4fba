"""Checkpoints in the layouts of the releases: none is available, so they are made here."""

import argparse
import os

import pytest
import torch

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.checkpoints.weights import load_weights
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ExposureNAFNet
from entropy_sde_plugin.networks.architectures import architecture_of
from tests.support.lldiffusion import released_checkpoint, small_network


@pytest.fixture(scope='module')
def current():
    return small_network(1)


@pytest.fixture(scope='module')
def average():
    return small_network(2)


def assert_same(found, expected):
    assert list(found) == list(expected)
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


@pytest.mark.parametrize('older', [False, True])
def test_current_weights_and_their_average(current, average, tmp_path, older):
    """Of the average the spectral norms' vectors, which are no parameters, are the current ones."""
    torch.save(released_checkpoint(current, average, older=older), tmp_path / 'best-355-23.32.pth')
    state, settings, entry = load_weights(tmp_path / 'best-355-23.32.pth', 'params')
    assert_same(state, current.state_dict())
    assert (settings, entry) == (None, 'state_dict')
    state, _, entry = load_weights(tmp_path / 'best-355-23.32.pth', 'params_ema')
    assert_same(state, {**current.state_dict(), **dict(average.named_parameters())})
    assert entry == 'ema_helper'
    assert_same(architecture_of(state).build(state).state_dict(), state)


@pytest.mark.parametrize('kept', [None, {}])
def test_a_file_without_an_average_gives_its_current_weights(current, average, tmp_path, kept):
    """Its options, which are called as BasicSR calls weights, are not taken for them."""
    content = released_checkpoint(current, average) | {'ema_helper': kept}
    torch.save(content, tmp_path / 'last.pth')
    state, _, entry = load_weights(tmp_path / 'last.pth', 'params_ema')
    assert_same(state, current.state_dict())
    assert entry == 'state_dict'


def test_an_average_of_some_parameters_is_not_completed_by_others(current, average, tmp_path):
    content = released_checkpoint(current, average)
    del content['ema_helper']['diff_unet.conv_in.weight']
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r"a\.pth': its moving average .* lacks 'diff_unet\.conv_in\.weight': use"):
        load_weights(tmp_path / 'a.pth', 'params_ema')
    assert_same(load_weights(tmp_path / 'a.pth', 'params').state, current.state_dict())


def test_settings_of_another_system_are_refused_by_name(current, average, tmp_path):
    torch.save(released_checkpoint(current, average), tmp_path / 'a.pth')
    with pytest.raises(InputError, match=r"the system 'lldiffusion' has no setting sde\.T, sde\.eps: leave it out"):
        load_model(tmp_path / 'a.pth', {'sde': {'T': 1000, 'eps': 0.1}, 'prediction': 'noise'})


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_bare_weights_of_an_earlier_file(current, average, tmp_path, prefix):
    bare = released_checkpoint(current, average, older=True)['state_dict']
    torch.save({prefix + key.removeprefix('module.'): value for key, value in bare.items()}, tmp_path / 'bare.pth')
    assert_same(load_weights(tmp_path / 'bare.pth').state, current.state_dict())


@pytest.mark.parametrize('param_key', ['params', 'params_ema'])
def test_checkpoints_of_exposurediffusion(tmp_path, param_key):
    """Their optimiser counts one parameter more than the network: the learned weights of the calls."""
    network = ExposureNAFNet(enc_blk_nums=[1], dec_blk_nums=[1])
    optimiser = torch.optim.Adam([*network.parameters(), torch.nn.Parameter(torch.ones(2))])
    content = {'netG': network.state_dict(), 'opt_g': optimiser.state_dict(), 'epoch': 300, 'iterations': 386400}
    torch.save(content, tmp_path / 'model_300_00386400.pt')
    state, settings, entry = load_weights(tmp_path / 'model_300_00386400.pt', param_key)
    assert_same(state, network.state_dict())
    assert (settings, entry) == (None, 'netG')
    assert_same(architecture_of(state).build(state).state_dict(), network.state_dict())


class Malicious:
    def __reduce__(self):
        return os.mkdir, ('was_executed',)


def test_nothing_in_its_options_is_run(current, average, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = released_checkpoint(current, average) | {'config': argparse.Namespace(data=Malicious())}
    torch.save(content, 'a.pth')
    with pytest.raises(InputError, match=r'Python objects \(posix\.mkdir\), which are never executed'):
        load_weights('a.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']
