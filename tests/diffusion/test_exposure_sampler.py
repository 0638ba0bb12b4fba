"""Unrolled network calls and whole restorations against those of the release."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion.exposure import ExposureProcess
from entropy_sde_plugin.diffusion.exposure_sampler import (
    ExposureDenoiser,
    network_calls,
    padded_to_multiple,
    restore,
    unpadded,
)
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN
from tests.support.exposure import formula_picture, golden_network

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')
EXPOSURES = {'unet8': (100, 1.0), 'unet12': (100, 1.0), 'naf1_8': (250, 2.0)}


def given(name):
    return torch.from_numpy(GIVEN[name])


@functools.cache
def denoiser_of(name, factor=None):
    network = golden_network(name, factor)
    process = ExposureProcess(*EXPOSURES[name])
    return ExposureDenoiser(network, process, concat_origin=name == 'unet12')


def mean(expected):
    """In place of a Poisson draw."""
    return expected


def unrolled(name, counts=mean, truth=None, factor=None):
    denoiser = denoiser_of(name, factor)
    with torch.no_grad():
        return list(network_calls(denoiser, given('x'), denoiser.process.time_grid(3), counts, truth))


def compare(values, name):
    np.testing.assert_allclose(torch.cat(values), GIVEN[name], rtol=0, atol=5e-5)


@pytest.mark.parametrize('name', EXPOSURES)
def test_calls_with_the_gain_in_the_loop(name):
    calls = unrolled(name, truth=given('gt'))
    compare([call.state for call in calls], f'unroll_{name}_in_loop_x')
    compare([call.predicted for call in calls], f'unroll_{name}_in_loop_F')
    compare([call.picture for call in calls], f'unroll_{name}_in_loop_Fgain')


@pytest.mark.parametrize('name', ['unet8', 'unet12'])
def test_calls_without_a_gain(name):
    calls = unrolled(name)
    compare([call.state for call in calls], f'unroll_{name}_none_x')
    compare([call.picture for call in calls], f'unroll_{name}_none_F')


def test_calls_with_given_counts():
    counts = iter(given('unroll_unet8_draw_n').split(1))
    calls = unrolled('unet8', lambda expected: next(counts), given('gt'))
    compare([call.state for call in calls], 'unroll_unet8_draw_x')
    compare([call.picture for call in calls], 'unroll_unet8_draw_Fgain')


@pytest.mark.parametrize(
    ('name', 'means'),
    [
        ('unet8', (0.309252, 0.298984, 0.280612)),
        ('unet12', (0.309271, 0.298899, 0.280344)),
        ('naf1_8', (0.178531, 0.155096, 0.142837)),
    ],
)
def test_calls_of_networks_filled_without_a_factor(name, means):
    calls = unrolled(name, truth=given('gt'), factor=1.0)
    assert [call.picture.mean().item() for call in calls] == pytest.approx(means, abs=2e-6)


def test_planes_of_the_second_call():
    seen = []
    denoiser = denoiser_of('unet12', None)
    with denoiser.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0])):
        unrolled('unet12', truth=given('gt'))
    np.testing.assert_allclose(seen[1], GIVEN['unroll_unet12_in_loop_netinput_step1'], rtol=0, atol=5e-5)


@pytest.mark.parametrize('height_width', [(40, 44), (32, 32)])
def test_whole_restoration_as_in_the_released_evaluation(height_width, monkeypatch):
    monkeypatch.setattr(torch, 'poisson', lambda expected, generator: expected)
    name = 'eval_{}x{}'.format(*height_width)
    denoiser = denoiser_of('unet8')
    with torch.no_grad():
        restored = restore(
            denoiser,
            given(f'{name}_input'),
            denoiser.process.time_grid(3),
            generator=torch.Generator(),
            truth=given(f'{name}_target'),
            illumination_correction='in_loop',
        )
    np.testing.assert_allclose(restored, GIVEN[f'{name}_out'], rtol=0, atol=5e-5)


def test_padding_is_the_released_one():
    assert np.array_equal(padded_to_multiple(0.5 * formula_picture((1, 1, 40, 44), 1)), GIVEN['pad_40x44'])
    assert np.array_equal(padded_to_multiple(formula_picture((1, 1, 32, 32), 1)), GIVEN['pad_32x32'])


@pytest.mark.parametrize('size', [(10, 16), (17, 31), (48, 33)])
def test_padding_is_cut_again(size):
    picture = torch.rand(2, 4, *size)
    padded = padded_to_multiple(picture)
    assert not any(side % 16 for side in padded.shape[-2:])
    assert torch.equal(unpadded(padded, picture), picture)


def test_the_final_gain_alone(monkeypatch):
    """The golden values have no padding: the last prediction without a gain, then the gain."""
    monkeypatch.setattr('entropy_sde_plugin.diffusion.exposure_sampler.padded_to_multiple', lambda images: images)
    monkeypatch.setattr('entropy_sde_plugin.diffusion.exposure_sampler.unpadded', lambda images, original: images)
    monkeypatch.setattr(torch, 'poisson', lambda expected, generator: expected)
    for name in EXPOSURES:
        denoiser = denoiser_of(name)
        with torch.no_grad():
            restored = restore(
                denoiser,
                given('x'),
                denoiser.process.time_grid(3),
                generator=torch.Generator(),
                truth=given('gt'),
                illumination_correction='final',
            )
        compare([restored], f'unroll_{name}_final_output')


def test_a_picture_follows_from_its_generator():
    denoiser = denoiser_of('naf1_8')
    pictures = torch.rand(2, 4, 20, 20, generator=torch.Generator().manual_seed(0))
    times = denoiser.process.time_grid(3)

    def restored(images, *seeds):
        with torch.no_grad():
            return restore(denoiser, images, times, generator=[torch.Generator().manual_seed(s) for s in seeds])

    both = restored(pictures, 3, 4)
    torch.testing.assert_close(both[1:], restored(pictures[1:], 4))
    assert not torch.equal(both[1:], restored(pictures[1:], 5))


def test_a_correction_needs_the_truth():
    denoiser = denoiser_of('naf1_8')
    with pytest.raises(InputError, match='needs the ground truth'):
        restore(denoiser, given('x'), [], generator=torch.Generator(), illumination_correction='final')


def test_planes_too_small_to_be_padded():
    with pytest.raises(InputError, match='at least 10'):
        padded_to_multiple(torch.zeros(1, 4, 9, 20))
