"""A system and a network that the package does not know go through checkpoint, enhancer, convert and export.

Nothing above the maths names IR-SDE or NAFNet: one entry for the network and one struct for the options suffice.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from entropy_sde_plugin.checkpoints.model import Model, load_model, save_model
from entropy_sde_plugin.checkpoints.onnx import export_onnx
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.diffusion import DDPM
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.networks import architectures
from entropy_sde_plugin.networks.architectures import Architecture
from entropy_sde_plugin.options import systems
from entropy_sde_plugin.options.diffusion import DiffusionOptions


class ToyOptions(DiffusionOptions, frozen=True):
    system: ClassVar[str] = 'toy'
    trained: ClassVar[tuple[str, ...]] = ('states', 'prediction')
    states: int = 50

    def process(self):
        return DDPM(T=self.states)


class ToyNetwork(nn.Module):
    """Estimates x0 as a pointwise linear function of state and condition; the time shifts nothing."""

    def __init__(self, channels=3):
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x, cond, time):
        return self.mix(torch.cat([x, cond], 1)) + 0 * torch.as_tensor(time, dtype=x.dtype).reshape(-1, 1, 1, 1)


class Whole:
    """The network on whole images, whatever the tile."""

    def __init__(self, network, *, tile, dtype, compile):
        self.network, self.tile = network, tile

    def __call__(self, x, cond, time):
        return self.network(x, cond, time)


@pytest.fixture
def model(monkeypatch):
    entry = Architecture(
        network=ToyNetwork,
        system='toy',
        marks=frozenset({'mix.weight', 'mix.bias'}),
        options=lambda state: {'channels': state['mix.bias'].shape[0]},
        channels=lambda network: network.mix.out_channels,
        for_inference=Whole,
    )
    monkeypatch.setattr(architectures, 'ARCHITECTURES', [*architectures.ARCHITECTURES, entry])
    monkeypatch.setitem(systems.SYSTEMS, 'toy', ToyOptions)
    network = ToyNetwork()
    nn.init.zeros_(network.mix.weight)
    with torch.no_grad():
        for channel in range(3):
            network.mix.weight[channel, 3 + channel] = 0.5  # half the condition, in [-1, 1]
        network.mix.bias.fill_(0.25)
    return Model(network, ToyOptions(states=20, prediction='x0'))


def test_it_is_saved_loaded_and_enhances_in_its_own_range(model, tmp_path):
    save_model(model, tmp_path / 'toy.safetensors')
    loaded = load_model(tmp_path / 'toy.safetensors')
    assert loaded.options == model.options
    assert type(loaded.network) is ToyNetwork

    enhancer = Enhancer(loaded, EnhancerOptions(precision='fp32', sampler='ddim', steps=4))
    dark = np.full((6, 8, 3), 0.2, np.float32)
    expected = ((0.2 * 2 - 1) * 0.5 + 0.25 + 1) / 2
    np.testing.assert_allclose(enhancer.enhance(dark), expected, rtol=1e-6)


def test_a_checkpoint_of_basicsr_converts(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {'system': 'toy', 'states': 20, 'prediction': 'x0'}
    torch.save({'params': model.network.state_dict(), 'entropy_sde': settings}, 'toy.pth')
    assert main(['convert', 'toy.pth', 'toy.safetensors']) == 0
    assert load_model('toy.safetensors').options == model.options
    assert 'system: toy' in capsys.readouterr().out


def test_it_exports(model, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    export_onnx(model, tmp_path / 'toy.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'toy.onnx')
    x, cond = np.zeros((2, 3, 5, 7), np.float32), np.full((2, 3, 5, 7), 0.5, np.float32)
    (output,) = session.run(None, {'x': x, 'cond': cond, 'time': np.ones(2, np.float32)})
    np.testing.assert_allclose(output, 0.5, rtol=1e-6)


def test_an_unknown_system_is_named(model, tmp_path):
    torch.save({'params': model.network.state_dict(), 'entropy_sde': {'system': 'tyo'}}, tmp_path / 'toy.pth')
    with pytest.raises(InputError, match=r"toy\.pth.*system 'tyo'.*Did you mean 'toy'\?"):
        load_model(tmp_path / 'toy.pth')
