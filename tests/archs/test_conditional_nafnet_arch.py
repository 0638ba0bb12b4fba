"""ConditionalNAFNet against outputs of the released network and the released checkpoint's keys."""

import json

import numpy as np
import pytest
import torch
from basicsr.archs import build_network

from entropy_sde_plugin.archs import ConditionalNAFNet
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

# Weights, inputs and outputs computed once with the released definition, float32; the second set has odd sizes.
NAFNET_GOLDEN = dict(np.load(GOLDEN / 'conditional_nafnet.npz').items())


@pytest.fixture(scope='module')
def network():
    net = build_network({'type': 'ConditionalNAFNet', **json.loads(str(NAFNET_GOLDEN['config_json']))})
    state = {key.removeprefix('sd/'): torch.from_numpy(v) for key, v in NAFNET_GOLDEN.items() if key.startswith('sd/')}
    net.load_state_dict(state)
    return net.eval()


@pytest.mark.parametrize('inputs', ['in0', 'in1'])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_outputs_are_the_released_ones(network, inputs, memory_format):
    x, cond, t, expected = (torch.from_numpy(NAFNET_GOLDEN[f'{inputs}_{name}']) for name in ('x', 'cond', 't', 'y'))
    with torch.no_grad():
        y = network.to(memory_format=memory_format)(x, cond, t)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('time', [37, 37.0, torch.tensor(37), torch.tensor([37])])
def test_a_time_may_be_a_number(network, time):
    x, cond = (torch.from_numpy(NAFNET_GOLDEN[f'in1_{name}']) for name in ('x', 'cond'))
    with torch.no_grad():
        y = network(x, cond, time)
    torch.testing.assert_close(y, torch.from_numpy(NAFNET_GOLDEN['int_time_y']), rtol=0, atol=1e-5)


def test_keys_and_shapes_of_the_released_checkpoint():
    official = json.loads((GOLDEN / 'official_state_dict.json').read_text())
    with torch.device('meta'):
        net = ConditionalNAFNet(**official['config'])
    assert {key: list(value.shape) for key, value in net.state_dict().items()} == official['state_dict']
    assert sum(p.numel() for p in net.parameters()) == official['parameters']


def test_a_fresh_block_passes_its_input_on(network):
    """beta and gamma start at 0, so every block begins as the identity (arXiv 2204.04676)."""
    block = ConditionalNAFNet(width=8, enc_blk_nums=[1], dec_blk_nums=[1]).encoders[0][0]
    x = torch.rand(2, 8, 6, 6)
    assert torch.equal(block(x, torch.rand(2, 32)), x)


@pytest.mark.parametrize(
    ('wrong', 'told'), [({'width': 7}, 'width'), ({'width': 8, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1]}, 'levels')]
)
def test_sizes_that_make_no_network_are_refused(wrong, told):
    with pytest.raises(InputError, match=told):
        ConditionalNAFNet(**wrong)
