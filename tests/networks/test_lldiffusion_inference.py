"""LLDiffusionNet on images of any size: against the released ways of sampling, and windows put together by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion import DDPM, samplers
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.lldiffusion import Features, color_map
from entropy_sde_plugin.networks.lldiffusion_inference import Patches, WholeOrTiles
from tests.support.lldiffusion import golden, image, network, relative_error, small_network

OUTPUTS = golden()


@pytest.fixture(scope='module')
def tiny():
    return network('tiny')


@pytest.fixture(scope='module')
def small():
    """A network as small as can be, which takes up all six maps."""
    return small_network(num_deg_fusion=6, enc_ch=4)


def noise_and_dark(*size):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, 3, *size, generator=generator), torch.rand(1, 3, *size, generator=generator) * 0.4 - 1


class Formula:
    """A network that is a formula, and knows of a dark image nothing but its colours."""

    def __init__(self, predict):
        self.predict = predict

    def features(self, cond):
        return Features((), color_map(cond))

    def __call__(self, x, cond, time, features):
        return self.predict(x, cond, time)


def sample(predict, cond, steps):
    """The released sampling, DDIM without clipping, from noise by formula; the states at its start and after it."""
    start = 4 * (image(cond.shape, 3) - 0.5)
    process, states = DDPM(), []
    end = samplers.ddim(
        NetworkDenoiser(predict, process, 'noise'),
        process,
        cond,
        process.time_grid(steps),
        noise=lambda like: start,
        callback=lambda step, t, x, x0: states.append(x),
        clip=False,
    )
    return [*states, end]


def norms(states):
    return [state.double().norm().item() for state in states]


def reflected(shape, size):
    """The condition of the golden values, padded by reflection as released."""
    rows, columns = (end - side for end, side in zip(size, shape[1:], strict=True))
    pad = [(0, 0), (0, rows), (0, columns)]
    return torch.from_numpy(np.pad(image(shape, 1), pad, mode='reflect'))[None]


def test_whole_images_are_sampled_as_released(tiny):
    cond = 2 * 0.2 * reflected((3, 40, 50), (64, 64)) - 1
    states = sample(WholeOrTiles(tiny), cond, 5)
    assert relative_error(states[-1], OUTPUTS['tiny_whole_x']) < 1e-3
    np.testing.assert_allclose(norms(states), OUTPUTS['tiny_whole_norms'], rtol=1e-3)


def test_patches_are_sampled_as_released(tiny):
    cond = 2 * 0.2 * image((1, 3, 64, 96), 1) - 1
    states = sample(Patches(tiny, tile=64, stride=32), cond, 5)
    assert relative_error(states[-1], OUTPUTS['tiny_patch_x']) < 1e-3
    np.testing.assert_allclose(norms(states), OUTPUTS['tiny_patch_norms'], rtol=1e-3)


def mixed(x, cond, time):
    return 0.8 * x - 0.3 * cond + 0.1 * x.mean((2, 3), keepdim=True)


def test_small_patches_of_a_formula_are_averaged_as_released():
    states = sample(Patches(Formula(mixed), tile=8, stride=4), 2 * image((1, 3, 16, 24), 1) - 1, 25)
    assert relative_error(states[1], OUTPUTS['patch_x1']) < 1e-5
    assert relative_error(states[-1], OUTPUTS['patch_out']) < 1e-5
    np.testing.assert_allclose(norms(states), OUTPUTS['patch_norms'], rtol=1e-5)
    restored = ((states[-1] + 1) / 2).clamp(0, 1)[0, :, :14, :22]
    assert relative_error(restored, OUTPUTS['restore_patch_out']) < 1e-5


def test_smaller_patches_take_less_memory():
    """As where memory ran out: no more of them pass at a time than of those asked for."""
    seen = []

    def predict(x, cond, time):
        seen.append(tuple(x.shape))
        return x

    patches = Patches(Formula(predict), tile=256, stride=256)
    x = torch.rand(1, 3, 512, 1024)
    patches(x, x, 1)
    patches.tile = 128
    patches(x, x, 1)
    assert set(seen) == {(4, 3, 256, 256), (4, 3, 128, 128)}


def test_the_released_restoration_of_a_whole_image():
    cond = 2 * reflected((3, 20, 40), (32, 64)) - 1
    assert relative_error(cond, OUTPUTS['whole_cond']) < 1e-6
    end = sample(mixed, cond, 25)[-1]
    assert relative_error(((end + 1) / 2).clamp(0, 1)[0, :, :18, :37], OUTPUTS['whole_out']) < 1e-5


def test_the_released_restoration_of_an_image_whose_sides_are_multiples_already():
    """It is padded all the same, to 96x96."""
    *expected, _, _, height, width = OUTPUTS['whole_mult_stats']
    end = sample(mixed, 2 * reflected((3, 64, 64), (int(height), int(width))) - 1, 25)[-1]
    found = ((end + 1) / 2).clamp(0, 1)[..., :64, :64].double().flatten()
    np.testing.assert_allclose([found.mean(), found.std(), found[0], found[-1]], expected, rtol=1e-5)


@pytest.mark.parametrize('make', [lambda net: WholeOrTiles(net, tile=64), lambda net: Patches(net, tile=64, stride=40)])
def test_what_is_known_of_an_image_is_computed_once(small, make):
    calls = []
    hook = small.encoder.encoder.register_forward_hook(lambda *call: calls.append(call))
    (x, cond), prepared = noise_and_dark(40, 100), make(small)
    first = prepared(x, cond, 900)
    once = len(calls)
    assert torch.equal(prepared(x, cond.clone(), 900), first)
    prepared(0.5 * x, cond, 100)
    assert len(calls) == once
    assert not torch.equal(prepared(x, cond.flip(3), 900), first)
    assert len(calls) == 2 * once
    hook.remove()


def test_what_has_no_room_is_computed_again(small, monkeypatch):
    x, cond = noise_and_dark(40, 100)
    expected = WholeOrTiles(small, tile=64)(x, cond, 900)
    monkeypatch.setattr('entropy_sde_plugin.networks.lldiffusion_inference.KEPT_BYTES', 0)
    prepared = WholeOrTiles(small, tile=64)
    for _ in range(2):
        assert torch.equal(prepared(x, cond, 900), expected)


@torch.no_grad()
@pytest.mark.parametrize('part', [(0, 0, 2, 3), (1, 2, 2, 2), (4, 3, 3, 3), (0, 0, 7, 6)])
def test_the_maps_of_a_part_are_those_of_the_whole(small, part):
    _, cond = noise_and_dark(224, 192)
    found = small.encoder.maps_of_part(small.encoder.encoder(cond), *part)
    top, left, height, width = (32 * length for length in part)
    for each, whole in zip(found, small.encoder(cond), strict=True):
        factor = 224 // whole.shape[2]
        expected = whole[..., top // factor : (top + height) // factor, left // factor : (left + width) // factor]
        assert relative_error(each, expected) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize('size', [(96, 64), (70, 90), (1, 1)])
def test_an_image_of_few_pixels_is_the_network_s(small, size):
    x, cond = noise_and_dark(*size)
    torch.testing.assert_close(WholeOrTiles(small)(x, cond, 300), small(x, cond, 300))


@torch.no_grad()
def test_tiles_are_the_network_s_faded_into_each_other(small):
    """Put together by hand, with maps cut out of the whole image's."""
    x, cond = noise_and_dark(96, 96)
    maps = small.encoder(cond)
    ramp = torch.tensor([min(i + 0.5, 63.5 - i, 32) / 32 for i in range(64)])
    total, weights = torch.zeros_like(x), torch.zeros_like(x)
    for top in (0, 32):
        for left in (0, 32):
            place = ..., slice(top, top + 64), slice(left, left + 64)
            parts = []
            for each in maps:
                factor = 96 // each.shape[2]
                parts.append(each[..., top // factor :, left // factor :][..., : 64 // factor, : 64 // factor])
            known = Features(tuple(parts), color_map(cond[place]))
            total[place] += small(x[place], cond[place], 300, known) * ramp[:, None] * ramp
            weights[place] += ramp[:, None] * ramp
    assert relative_error(WholeOrTiles(small, tile=64)(x, cond, 300), total / weights) < 1e-5


@pytest.mark.parametrize('stride', [1, 7, 50, 64])
@pytest.mark.parametrize('size', [(64, 70), (75, 130), (3, 9)])
def test_patches_at_any_stride_cover_the_image(stride, size):
    x, cond = noise_and_dark(*size)
    found = Patches(Formula(lambda x, cond, time: x - cond), tile=64, stride=stride)(x, cond, 1)
    torch.testing.assert_close(found, x - cond, rtol=1e-5, atol=1e-4)


def test_a_batch_in_bfloat16_is_near_enough(small):
    x, cond = (torch.cat([each, each.flip(2)]) for each in noise_and_dark(64, 96))
    exact = WholeOrTiles(small)(x, cond, 300)
    rounded = WholeOrTiles(small, dtype=torch.bfloat16)(x, cond, 300)
    assert rounded.dtype == torch.float32
    assert 0 < (exact - rounded).abs().mean() < 0.05 * exact.std()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: WholeOrTiles(None, tile=-1), 'tile must be'),
        (lambda: Patches(None, stride=129), 'stride must lie in 1…128'),
        (lambda: Patches(None, stride=0), 'stride must lie in 1…128'),
        (lambda: Patches(None, stride=1, tile=0), 'with tile 0 there are none'),
    ],
)
def test_windows_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
