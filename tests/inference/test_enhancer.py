"""From an image to an image: types, seeds, tiles, memory."""

import copy
import logging

import numpy as np
import pytest
import torch

from entropy_sde_plugin.checkpoints.model import Model, save_model
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.diffusion import CLEAN
from entropy_sde_plugin.diffusion.brightness import match_brightness
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, standard_normal
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import DEFAULT_SAMPLER, EnhancerOptions
from entropy_sde_plugin.networks.nafnet_strips import StripNetwork
from entropy_sde_plugin.options.diffusion import IRSDEOptions, SamplerOptions, SDEOptions
from tests.support.networks import random_network

DARK = photograph('chelsea')[:48, :72] // 5


@pytest.fixture(scope='module')
def model():
    return Model(random_network(), IRSDEOptions(prediction='x0'))


def enhancer(model, **options):
    options = {
        'device': 'cpu',
        'precision': 'fp32',
        'sampler': 'posterior',
        'steps': 3,
        'brightness': 'model',
    } | options
    return Enhancer(model, EnhancerOptions(**options))


def test_it_is_the_sampler_on_the_plain_network(model):
    mu = torch.from_numpy(DARK.transpose(2, 0, 1)[None] / 255).float()
    denoiser = NetworkDenoiser(model.network, model.process, 'x0')
    with torch.no_grad():
        noise = standard_normal(torch.Generator().manual_seed(5))
        expected = SAMPLERS['posterior'](denoiser, model.process, mu, model.process.time_grid(3), noise=noise)
    found = enhancer(model).enhance(mu, seed=5)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('brightness', ['model', 'auto', 'keep', 0.4])
def test_a_result_that_is_no_picture_is_refused(model, brightness):
    """Finite weights, as a training that diverges leaves them."""
    ruined = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in ruined.network.parameters():
            parameter.mul_(1e30)
    with pytest.raises(InputError, match=r'^The restored image has values that are not finite'):
        enhancer(ruined, brightness=brightness).enhance(DARK)


@pytest.mark.parametrize(('dtype', 'scale'), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)])
def test_pictures_come_back_as_they_went_in(model, dtype, scale):
    """The same image in another type is the same image up to rounding."""
    image = (DARK / 255 * scale).astype(dtype) if scale != 255 else DARK
    before = image.copy()
    result = enhancer(model).enhance(image)
    assert (result.dtype, result.shape) == (image.dtype, image.shape)
    assert np.array_equal(image, before)
    reference = enhancer(model).enhance(DARK)
    assert np.abs(result / scale * 255 - reference).max() <= 0.6
    assert reference.std() > 5


def test_tensors_come_back_as_they_went_in(model):
    batch = torch.from_numpy(DARK.transpose(2, 0, 1)[None] / 255).half().expand(2, -1, -1, -1)
    result = enhancer(model).enhance(batch)
    assert (result.dtype, result.shape) == (torch.float16, batch.shape)
    assert torch.equal(result[0], result[1])  # each image has the seed's noise
    assert torch.equal(enhancer(model).enhance(batch[0]), result[0])


def test_a_float32_tensor_can_be_used_as_any_other(model):
    result = enhancer(model).enhance(torch.from_numpy(DARK.transpose(2, 0, 1) / 255).float())
    result.clamp_(0, 1)  # refused for tensors of inference mode
    weight = torch.ones(1, requires_grad=True)
    (weight * result).sum().backward()
    assert weight.grad.item() == pytest.approx(result.sum().item(), rel=1e-4)


@pytest.mark.parametrize('tile', [0, 16, 32, 'auto'])
def test_the_tile_changes_nothing_one_could_see(model, tile):
    assert np.abs(enhancer(model, tile=tile).enhance(DARK).astype(int) - enhancer(model).enhance(DARK)).max() <= 1


def test_the_seed_decides(model):
    make = enhancer(model, sampler='dpmpp_2m_sde', steps=4)
    first, same, other = (make.enhance(DARK, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_memory_that_runs_out_halves_the_tile_and_says_so(model, monkeypatch, caplog):
    """A stand-in for the allocator: real exhaustion would take this machine with it."""
    make = enhancer(model, tile=64)
    expected = make.enhance(DARK)
    forward = StripNetwork.__call__

    def scarce(self, x, cond, time):
        if self.tile > 16:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return forward(self, x, cond, time)

    monkeypatch.setattr(StripNetwork, '__call__', scarce)
    with caplog.at_level(logging.WARNING, 'basicsr'):
        result = make.enhance(DARK)
    assert np.abs(result.astype(int) - expected).max() <= 1  # the noise begins anew with each attempt
    assert [record.message for record in caplog.records] == [
        'Out of memory for an image of 72x48: continuing with tiles of 32.',
        'Out of memory for an image of 72x48: continuing with tiles of 16.',
    ]


@pytest.mark.parametrize('error', [RuntimeError('shapes'), torch.OutOfMemoryError('CUDA'), MemoryError()])
def test_other_errors_and_the_last_tile_s_are_raised(model, monkeypatch, error):
    def fail(self, x, cond, time):
        raise error

    monkeypatch.setattr(StripNetwork, '__call__', fail)
    with pytest.raises(type(error)):
        enhancer(model, tile=16).enhance(DARK)


@pytest.mark.parametrize('seed', [-1, 2**63, 1.5, True, '1', None])
def test_what_is_no_seed_is_refused(model, seed):
    with pytest.raises(InputError, match=r'seed must be an integer in 0…2\^63 - 1'):
        enhancer(model).enhance(DARK, seed=seed)


def test_numbers_and_byte_orders_of_numpy_are_those_of_others(model):
    make = enhancer(model)
    np.testing.assert_array_equal(make.enhance(DARK, seed=np.int64(3)), make.enhance(DARK, seed=3))
    deep = DARK.astype(np.uint16) * 257
    swapped = make.enhance(deep.astype('>u2'))
    assert swapped.dtype == '>u2'
    np.testing.assert_array_equal(swapped, make.enhance(deep))


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_the_caller_s_autocast_and_default_dtype_change_nothing(model, tmp_path, precision):
    save_model(model, tmp_path / 'model.safetensors')

    def enhanced():
        return Enhancer.from_file(
            tmp_path / 'model.safetensors', device='cpu', precision=precision, steps=2, brightness='auto'
        ).enhance(DARK)

    expected = enhanced()
    with torch.autocast('cpu', torch.bfloat16):
        np.testing.assert_array_equal(enhanced(), expected)
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(enhanced(), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_from_a_file(model, tmp_path):
    save_model(model, tmp_path / 'model.safetensors')
    make = Enhancer.from_file(tmp_path / 'model.safetensors', precision='fp32', sampler='ddim', steps=2, eta=0.5)
    assert make.sampler == SamplerOptions(type='ddim', steps=2, eta=0.5, brightness='auto')
    assert make.enhance(DARK).shape == DARK.shape
    assert Enhancer.from_file(tmp_path / 'model.safetensors').sampler == DEFAULT_SAMPLER
    short = Model(model.network, IRSDEOptions(sde=SDEOptions(T=4), prediction='x0'))
    save_model(short, tmp_path / 'short.safetensors')
    assert Enhancer.from_file(tmp_path / 'short.safetensors').times == [4, 3, 2, 1, CLEAN]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({'device': 'gpu'}, "there is no 'gpu'"),
        ({'device': 'cuda:7'}, "this machine has no 'cuda:7'"),
        ({'device': 'meta'}, "'meta' is not supported"),
        ({'device': None}, "there is no 'None'"),
        ({'precision': None}, "there is no 'None'"),
        ({'precision': 'bf61'}, "Did you mean 'bf16'"),
        ({'tile': 'big'}, "'big' is neither"),
        ({'tile': 3}, 'at least 16'),
        ({'tile': True}, 'neither'),
        ({'stride': 8}, 'a ConditionalNAFNet does not work in patches'),
        ({'steps': 101}, '1…100'),
        ({'steps': 0}, "'sampler.steps': expected a whole number >= 1"),
        ({'sampler': 'ddmi'}, "Did you mean 'ddim'"),
        ({'eta': 0.5}, "eta belongs to the sampler 'ddim'"),
    ],
)
def test_wrong_options_are_reported(model, options, expected):
    with pytest.raises(InputError, match=expected):
        enhancer(model, **options)


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        (DARK.astype(np.int32), 'uint8, uint16 or floating'),
        (DARK[..., 0], r'\(H, W, 3\)'),
        (DARK[..., :2], r'\(B, 3, H, W\)'),
        (DARK[:0], 'non-empty'),
        (DARK.astype(np.float32), r'\[0, 1\]'),
        (np.full((4, 4, 3), np.nan, np.float32), r'\[0, 1\]'),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), 'floating'),
        ('dark.png', 'an array or a tensor, got str'),
        (DARK.tolist(), 'an array or a tensor, got list'),
        (torch.zeros(4, 4), r'\(B, 3, H, W\)'),
    ],
)
def test_what_is_no_picture_is_refused(model, image, expected):
    with pytest.raises(InputError, match=expected):
        enhancer(model).enhance(image)


LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize('told', [False, True])
@pytest.mark.parametrize('wanted', [0.15, 0.55])
def test_the_brightness_is_the_wanted_one(told, wanted):
    """With a network that is told, and with one that cannot be."""
    model = Model(random_network(brightness=told), IRSDEOptions(prediction='x0'))
    result = enhancer(model, brightness=wanted).enhance(DARK)
    assert (result @ LUMA).mean() / 255 == pytest.approx(wanted, abs=2e-3)


def test_the_automatic_brightness_is_the_model_s_corrected(model):
    """By hand, from the mean of the model's own result."""
    dark = DARK // 4
    chosen, present = ((image @ LUMA).mean() / 255 for image in (enhancer(model).enhance(dark), dark))
    wanted = chosen + max(0.35 - chosen, 0) * np.clip(np.log2(chosen / present), 0, 1)
    assert wanted > chosen + 0.02
    result = enhancer(model, brightness='auto').enhance(dark)
    assert (result @ LUMA).mean() / 255 == pytest.approx(wanted, abs=2e-3)
    assert Enhancer(model).sampler.brightness == 'auto'


def test_the_input_s_brightness_can_be_kept(model):
    result = enhancer(model, brightness='keep').enhance(DARK)
    assert (result @ LUMA).mean() == pytest.approx((DARK @ LUMA).mean(), abs=0.5)
    assert not np.array_equal(result, DARK)


def test_the_network_is_told_the_wanted_brightness():
    model = Model(random_network(brightness=True), IRSDEOptions(prediction='x0'))
    torch.nn.init.normal_(model.network.brightness.out.weight, generator=torch.Generator().manual_seed(0))
    dark = torch.from_numpy(DARK.transpose(2, 0, 1)[None] / 255).float()

    def network(x, cond, time):
        return model.network(x, cond, time, torch.tensor([0.3]))

    noise = standard_normal(torch.Generator().manual_seed(0))
    denoiser = NetworkDenoiser(network, model.process, 'x0')
    with torch.no_grad():
        sampled = SAMPLERS['posterior'](denoiser, model.process, dark, model.process.time_grid(3), noise=noise)
    expected = match_brightness(sampled, torch.tensor([0.3]))
    torch.testing.assert_close(enhancer(model, brightness=0.3).enhance(dark), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_strength_mixes_the_result_with_the_input(model, dtype):
    scale = np.iinfo(dtype).max if dtype != np.float32 else 1
    image = (DARK / 255 * scale).astype(dtype)
    none, half, whole = (enhancer(model, strength=s).enhance(image).astype(float) for s in (0, 0.5, 1))
    assert np.array_equal(none, image)
    assert np.abs(half - (whole + image) / 2).max() <= max(1e-6, 0.51 * (scale > 1))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'brightness': 0.01}, "'sampler.brightness'.*0.05"),
        ({'brightness': 'dim'}, "'sampler.brightness'.*'auto'"),
        ({'brightness': 'truth'}, 'ground truth'),
        ({'strength': 1.5}, "'sampler.strength'.* 1"),
    ],
)
def test_wrong_brightness_and_strength_are_refused(model, options, message):
    with pytest.raises(InputError, match=message):
        enhancer(model, **options).enhance(DARK)
