"""ConditionalNAFNet against outputs of the released network and the released checkpoint's keys."""

import json

import numpy as np
import pytest
import torch
from basicsr.archs import build_network

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ConditionalNAFNet
from tests.support import GOLDEN
from tests.support.networks import random_network

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
    ('wrong', 'expected'),
    [({'width': 7}, 'width'), ({'width': 8, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1]}, 'levels')],
)
def test_sizes_that_make_no_network_are_refused(wrong, expected):
    with pytest.raises(InputError, match=expected):
        ConditionalNAFNet(**wrong)


def saved_bytes(net, inputs):
    """Bytes that the forward pass leaves for the backward pass, weights aside."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(*inputs)
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)


def pass_through(net, inputs, precision=torch.float32):
    """One forward and backward pass; gradients add up."""
    with torch.autocast('cpu', precision, enabled=precision is not torch.float32):
        output = net(*inputs)
    (output.float() ** 2).mean().backward()


def gradients(net):
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@pytest.fixture
def twins():
    """A network, the same one with activation checkpointing, and inputs for both."""
    plain = random_network(width=16, enc_blk_nums=[2, 2])
    checkpointed = random_network(width=16, enc_blk_nums=[2, 2], checkpoint_activations=True)
    checkpointed.load_state_dict(plain.state_dict())
    x, cond = torch.rand(2, 2, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    return plain, checkpointed, (x, cond, torch.tensor([3, 90]))


@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_checkpointed_activations_give_the_same_gradients(twins, precision, memory_format):
    plain, checkpointed, inputs = twins
    for net in (plain, checkpointed):
        pass_through(net.to(memory_format=memory_format), inputs, precision)
    found = gradients(checkpointed)
    for name, expected in gradients(plain).items():
        assert expected.abs().max() > 0
        assert torch.equal(found[name], expected)


def test_checkpointed_activations_are_not_kept(twins):
    """Between two of the nine blocks there is one tensor; inside of a block there are more than ten."""
    plain, checkpointed, inputs = twins
    assert saved_bytes(checkpointed, inputs) < saved_bytes(plain, inputs) / 5


@pytest.mark.filterwarnings('ignore:Grad strides do not match:UserWarning')
def test_checkpointed_activations_in_several_processes(twins, tmp_path):
    """One real process over gloo: the hooks of DistributedDataParallel, and a part whose gradient is not shared."""
    plain, checkpointed, inputs = twins
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(checkpointed)
        with wrapped.no_sync():
            pass_through(wrapped, inputs)
        pass_through(wrapped, inputs)
    finally:
        torch.distributed.destroy_process_group()
    for _ in range(2):
        pass_through(plain, inputs)
    found = gradients(checkpointed)
    assert all(torch.equal(found[name], expected) for name, expected in gradients(plain).items())


def test_checkpointed_activations_compiled():
    """Traced as a whole and differentiated ahead of time; without inductor, whose code rounds in its own way."""
    sizes = {'width': 4, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}
    plain, checkpointed = random_network(**sizes), random_network(**sizes, checkpoint_activations=True)
    inputs = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), torch.tensor([50])
    checkpointed.compile(backend='aot_eager', fullgraph=True)
    for net in (plain, checkpointed):
        pass_through(net, inputs)
    found = gradients(checkpointed)
    for name, expected in gradients(plain).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
