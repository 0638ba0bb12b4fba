"""The networks of ExposureDiffusion against the released ones' outputs, keys and sizes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ExposureNAFNet, ExposureUNet
from entropy_sde_plugin.networks.architectures import architecture_of
from tests.support import GOLDEN
from tests.support.exposure import NAFNET2, NETWORKS, formula_picture, golden_network

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')
STATE_DICTS = json.loads((GOLDEN / 'exposurediffusion_state_dict.json').read_text())
ADAPTIVE = [name for name in NETWORKS if name != 'unet4']


def released_planes(channels):
    x = torch.from_numpy(GIVEN['x'])
    return torch.cat([x, x * 17 / 100, formula_picture((1, 4, 32, 32), 3)], dim=1)[:, :channels]


def outputs(network, planes):
    """What the last convolution and the network give."""
    last = []
    layer = network.conv10_1 if isinstance(network, ExposureUNet) else network.ending
    with torch.no_grad(), layer.register_forward_hook(lambda module, inputs, output: last.append(output)):
        picture, parts = network(planes)
    return last[0], picture, parts


@pytest.mark.parametrize('name', ADAPTIVE)
def test_outputs_are_the_released_ones(name):
    last, picture, parts = outputs(golden_network(name), released_planes(int(name.split('_')[-1].strip('unet'))))
    np.testing.assert_allclose(last, GIVEN[f'net_{name}_last'], rtol=0, atol=5e-5)
    np.testing.assert_allclose(picture, GIVEN[f'net_{name}_F'], rtol=0, atol=5e-5)
    mixed = parts.mask * parts.direct.clamp(0, 1) + (1 - parts.mask) * parts.residual
    torch.testing.assert_close(mixed, picture)


@pytest.mark.parametrize('name', [name for name in ADAPTIVE if name.startswith('naf')])
def test_sides_that_are_no_multiples(name):
    shape = (1, int(name.split('_')[1]), 21, 26)
    _, picture, parts = outputs(golden_network(name), formula_picture(shape, 4))
    np.testing.assert_allclose(picture, GIVEN[f'net_{name}_F_21x26'], rtol=0, atol=5e-5)
    assert parts.direct.shape == parts.residual.shape == picture.shape


def test_without_the_adaptive_layer():
    _, picture, parts = outputs(golden_network('unet4'), torch.from_numpy(GIVEN['x']))
    np.testing.assert_allclose(picture, GIVEN['net_unet4_F'], rtol=0, atol=5e-5)
    assert parts is None
    network = ExposureNAFNet(adaptive=False)
    planes = formula_picture((1, 8, 16, 16), 0)
    last, picture, parts = outputs(network, planes)
    assert torch.equal(picture, (last + planes[:, :4]).clamp(0, 1))
    assert parts is None


@pytest.mark.parametrize('name', NETWORKS)
def test_keys_and_shapes_are_the_released_ones(name):
    network_class, options, _ = NETWORKS[name]
    with torch.device('meta'):
        state = network_class(**options).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == STATE_DICTS[name]


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_follows_from_its_weights(name):
    network_class, options, _ = NETWORKS[name]
    with torch.device('meta'):
        state = network_class(**options).state_dict()
    entry = architecture_of(state)
    assert entry.network is network_class
    found = network_class(**entry.options(state))
    assert {key: value.shape for key, value in found.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert (found.adaptive, found.concat_origin) == (name != 'unet4', name.endswith('12'))


@pytest.mark.parametrize(
    ('network_class', 'options', 'parameters'),
    [
        (ExposureUNet, {}, 7_761_801),
        (ExposureUNet, {'concat_origin': True}, 7_762_953),
        (ExposureUNet, {'adaptive': False, 'photon_plane': False}, 7_760_484),
        (ExposureNAFNet, {}, 4_793),
        (ExposureNAFNet, {'concat_origin': True}, 5_369),
        (ExposureNAFNet, {'adaptive': False, 'photon_plane': False}, 3_492),
        (ExposureNAFNet, NAFNET2, 6_897_865),
        (ExposureNAFNet, NAFNET2 | {'concat_origin': True}, 6_898_441),
        (ExposureNAFNet, NAFNET2 | {'adaptive': False, 'photon_plane': False}, 6_896_564),
    ],
)
def test_numbers_of_parameters(network_class, options, parameters):
    with torch.device('meta'):
        network = network_class(**options)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_weights_of_other_networks_are_refused():
    state = ExposureNAFNet().state_dict()
    state['ending.weight'] = torch.zeros(3, 16, 3, 3)
    with pytest.raises(InputError, match='take 8 planes and return 3'):
        architecture_of(state).build(state)
    state = ExposureNAFNet().state_dict() | {'stray': torch.zeros(1)}
    with pytest.raises(InputError, match="'stray' does not fit"):
        architecture_of(state).build(state)


def test_sides_that_a_unet_cannot_halve():
    with pytest.raises(InputError, match='multiples of 16'):
        ExposureUNet()(torch.zeros(1, 8, 32, 40))
