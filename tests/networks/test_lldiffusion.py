"""LLDiffusionNet against the released network's outputs, keys and shapes."""

import copy
import json

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import LLDiffusionNet
from entropy_sde_plugin.networks.lldiffusion import Features, color_map, lldiffusion_options
from tests.support import GOLDEN
from tests.support.lldiffusion import SIZES, golden, image, inputs, network, relative_error, small_network

OUTPUTS = golden()
RELEASED = json.loads((GOLDEN / 'lldiffusion_state_dict.json').read_text())


@pytest.fixture(scope='module')
def lol():
    return network('lol')


@pytest.fixture(scope='module')
def tiny():
    return network('tiny')


@pytest.mark.parametrize(('config', 'name'), [('LOL', 'lol'), ('LOL-v2', 'lolv2')])
def test_keys_and_shapes_of_the_released_checkpoints(config, name):
    released = RELEASED[config]
    with torch.device('meta'):
        net = LLDiffusionNet(**SIZES[name])
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    assert list(shapes.items()) == list(released['state_dict'].items())
    assert sum(p.numel() for p in net.parameters()) == released['parameters']


def test_the_colour_map():
    _, low, _ = inputs()
    assert relative_error(color_map(low), OUTPUTS['color_map']) < 1e-5
    edge = color_map(2 * torch.from_numpy(OUTPUTS['color_map_edge_y01']) - 1)
    assert relative_error(edge, OUTPUTS['color_map_edge']) < 1e-5


def test_the_time_s_sinusoids(lol):
    sinusoids = lol.diff_unet.temb.sinusoids(torch.from_numpy(OUTPUTS['temb_t']))
    assert relative_error(sinusoids, OUTPUTS['temb']) < 1e-5


def test_the_encoder_stage_by_stage(lol):
    trunk, found = lol.encoder.encoder, {}
    stages = {'x1': trunk.layer2, 'x2': trunk.layer4, 'x3': trunk.res_0, 'x4': trunk.res_2, 'out': trunk.out}
    hooks = [
        stage.register_forward_hook(lambda module, given, output, name=name: found.update({name: output}))
        for name, stage in stages.items()
    ]
    with torch.no_grad():
        maps = lol.encoder(inputs()[1])
    for hook in hooks:
        hook.remove()
    for name in stages:
        assert relative_error(found[name], OUTPUTS[f'lol_enc_{name}']) < 1e-4
    for index, each in enumerate(maps):
        assert relative_error(each, OUTPUTS[f'lol_E{index}']) < 1e-4


@torch.no_grad()
def test_both_u_nets_alone(lol):
    x, low, high = inputs()
    shapes = [OUTPUTS[f'lol_E{index}'].shape for index in range(3)]
    maps = tuple(2 * image(shape, 10 + index) - 1 for index, shape in enumerate(shapes))
    given = Features(maps, color_map(low))
    assert relative_error(lol(x, low, 500, features=given), OUTPUTS['lol_eps_given_E']) < 1e-4
    assert relative_error(lol.degrade(high, low, features=given), OUTPUTS['lol_dgnet_given_E']) < 1e-4


@torch.no_grad()
def test_outputs_for_lol_are_the_released_ones(lol):
    x, low, high = inputs()
    assert relative_error(lol(x, low, 500), OUTPUTS['lol_eps']) < 1e-4
    assert relative_error(lol.degrade(high, low), OUTPUTS['lol_dgnet']) < 1e-4
    eps = lol(torch.cat([x, 0.5 * x]), torch.cat([low, high]), torch.tensor([10, 989]))
    for each, expected in zip(eps, OUTPUTS['lol_eps_b2_stats'], strict=True):
        np.testing.assert_allclose(stats(each), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('name', ['tiny', 'tinyv2', pytest.param('lolv2', marks=pytest.mark.large)])
def test_outputs_of_both_fusions_are_the_released_ones(name, tiny):
    net = tiny if name == 'tiny' else network(name)
    x, low, high = inputs()
    features = net.features(low)
    for index, each in enumerate(features.maps):
        np.testing.assert_allclose(stats(each), OUTPUTS[f'{name}_E{index}_stats'], rtol=1e-4, atol=1e-4)
    assert relative_error(net(x, low, 500, features=features), OUTPUTS[f'{name}_eps']) < 1e-4
    assert relative_error(net.degrade(high, low, features=features), OUTPUTS[f'{name}_dgnet']) < 1e-4


def stats(values):
    values = values.double().flatten()
    return [values.mean(), values.std(), values[0], values[-1]]


@torch.no_grad()
def test_a_batch_of_oblong_images_at_two_times(tiny):
    x, low, _ = inputs((2, 3, 64, 96))
    eps = tiny(x, low, torch.tensor([10, 989]))
    assert relative_error(eps[..., ::2, ::2], OUTPUTS['tiny_eps_b2']) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize('time', [500, 500.0, torch.tensor(500), torch.tensor([500])])
def test_a_time_may_be_a_number(tiny, time):
    x, low, _ = inputs()
    assert relative_error(tiny(x, low, time), OUTPUTS['tiny_eps']) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (40, 50), (65, 96)])
def test_other_sizes_are_padded_by_reflection(tiny, size):
    x, low, high = (each[..., : size[0], : size[1]] for each in inputs((1, 3, 65, 96)))
    rows, columns = (max(-(-side // 32) * 32, 64) - side for side in size)
    pad = [(0, 0), (0, 0), (0, rows), (0, columns)]
    padded = [torch.from_numpy(np.pad(each, pad, mode='reflect')) for each in (x, low, high)]
    expected = tiny(*padded[:2], 500), tiny.degrade(*padded[:0:-1])
    for found, whole in zip((tiny(x, low, 500), tiny.degrade(high, low)), expected, strict=True):
        torch.testing.assert_close(found, whole[..., : size[0], : size[1]])


@torch.no_grad()
def test_no_matrix_of_scores_is_made(tiny):
    """With every kernel forbidden that makes one."""
    x, low, _ = inputs()
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        assert relative_error(tiny(x, low, 500), OUTPUTS['tiny_eps']) < 1e-4


def test_spectral_norms_are_those_of_torch():
    """Outputs, gradients and buffers over three steps of a training and one evaluation, against torch's own hook."""
    torch.manual_seed(0)
    ours = small_network().train().encoder.upsample.convs[0][2]
    theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(ours.in_channels, ours.out_channels, 3))
    theirs.load_state_dict(ours.state_dict())
    for step in range(4):
        if step == 3:
            ours.eval(), theirs.eval()
        x = torch.randn(2, ours.in_channels, 5, 5)
        found, expected = ours(x), theirs(x)
        torch.testing.assert_close(found, expected)
        for module, output in ((ours, found), (theirs, expected)):
            module.zero_grad()
            output.square().sum().backward()
        torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)
        torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


def test_a_network_in_training_can_be_copied():
    net = small_network().train()
    x, low, _ = inputs()
    net(x, low, 500).mean().backward()
    torch.testing.assert_close(copy.deepcopy(net).state_dict(), net.state_dict())


@pytest.mark.parametrize(
    'size', [SIZES['tiny'], SIZES['lolv2'], {'ch_mult': [1, 2, 1, 3, 1, 2], 'enc_ch': 4, 'num_deg_fusion': 5}]
)
def test_the_arguments_follow_from_the_weights(size):
    with torch.device('meta'):
        net = LLDiffusionNet(**size)
        again = LLDiffusionNet(**lldiffusion_options(net.state_dict()))
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (net, again)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ('key', 'shape', 'expected'),
    [
        ('diff_unet.conv_in.weight', (3,), "'diff_unet.conv_in.weight' is missing or misshapen"),
        ('diff_unet.conv_in.weight', (0, 9, 3, 3), 'ch must be'),
        ('diff_unet.mid.attn_1.q.bias', (3,), "'diff_unet.mid.attn_1.q.bias' does not fit"),
        ('extra', (3,), "'extra' does not fit"),
    ],
)
def test_weights_of_another_network_are_refused(key, shape, expected):
    with torch.device('meta'):
        state = LLDiffusionNet(**SIZES['tiny']).state_dict()
    with pytest.raises(InputError, match=expected):
        lldiffusion_options({**state, key: torch.zeros(shape)})


@pytest.mark.parametrize(
    'wrong',
    [
        {'ch': 48},
        {'ch': 64.0},
        {'ch_mult': '112244'},
        {'ch_mult': 2},
        {'num_res_blocks': 2.5},
        {'num_res_blocks': 1001},
        {'num_deg_fusion': '3'},
        {'enc_ch': 16.0},
        {'deg_ch': 0},
        {'ch_mult': [1, 2]},
        {'ch_mult': [1, 1, 1, 1, 1, 0]},
        {'num_res_blocks': 0},
        {'fuse_mode': 'catn'},
        {'num_deg_fusion': 7},
        {'enc_ch': 1},
        {'enc_ch': 2, 'num_deg_fusion': 6},
    ],
)
def test_sizes_that_make_no_network_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))) as caught:
        LLDiffusionNet(**wrong)
    assert caught.value.option == next(iter(wrong))
