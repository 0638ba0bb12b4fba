"""The network in strips against the plain network."""

import json

import numpy as np
import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.networks.nafnet_strips import StripNetwork
from tests.support import GOLDEN
from tests.support.networks import random_network


@pytest.fixture(scope='module')
def network():
    return random_network()


def pictures(*shape):
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(*shape, generator=generator) for _ in range(2)]


@pytest.mark.parametrize('size', [(64, 48), (61, 83), (7, 200), (200, 5), (1, 1)])
@pytest.mark.parametrize('tile', [0, 1, 16, 40])
def test_strips_of_any_height_give_the_whole_picture_s_result(network, size, tile):
    """The attention's means are those of the whole image: nothing depends on where it is cut."""
    x, cond = pictures(2, 3, *size)
    with torch.no_grad():
        expected = network(x, cond, 37)
    torch.testing.assert_close(StripNetwork(network, tile=tile)(x, cond, 37), expected, rtol=1e-4, atol=2e-6)


def test_plain_tiles_do_not(network):
    """What strips are for: the same image cut into two before the network differs, far from the cut too."""
    x, cond = pictures(1, 3, 64, 64)
    with torch.no_grad():
        whole = network(x, cond, 37)
        halves = torch.cat([network(*half, 37) for half in zip(x.split(32, 2), cond.split(32, 2), strict=True)], 2)
    assert (whole - halves)[:, :, :8].abs().mean() > 1e-4


@pytest.mark.parametrize('inputs', ['in0', 'in1'])
def test_outputs_are_the_released_ones(inputs):
    golden = dict(np.load(GOLDEN / 'conditional_nafnet.npz').items())
    net = ConditionalNAFNet(**json.loads(str(golden['config_json']))).eval()
    net.load_state_dict({k.removeprefix('sd/'): torch.from_numpy(v) for k, v in golden.items() if k.startswith('sd/')})
    x, cond, t, expected = (torch.from_numpy(golden[f'{inputs}_{name}']) for name in ('x', 'cond', 't', 'y'))
    for k, time in enumerate(t.flatten().tolist()):
        y = StripNetwork(net, tile=3)(x[k : k + 1], cond[k : k + 1], time)
        torch.testing.assert_close(y, expected[k : k + 1], rtol=0, atol=1e-5)


def test_bfloat16_is_near_enough(network):
    x, cond = pictures(1, 3, 96, 96)
    exact = StripNetwork(network, tile=32)(x, cond, 50)
    rounded = StripNetwork(network, tile=32, dtype=torch.bfloat16)(x, cond, 50)
    assert 0 < (exact - rounded).abs().mean() < 0.02 * exact.std()


def test_a_changed_weight_is_seen(network):
    x, cond = pictures(1, 3, 16, 16)
    net = random_network()
    strips = StripNetwork(net, tile=0)
    before = strips(x, cond, 9)
    with torch.no_grad():
        net.ending.bias += 1
    torch.testing.assert_close(strips(x, cond, 9), before + 1)


def test_a_negative_tile_is_refused(network):
    with pytest.raises(InputError, match='tile'):
        StripNetwork(network, tile=-1)
