"""The losses of ExposureDiffusion against those of the release: values and gradients in float64."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion import CLEAN
from entropy_sde_plugin.diffusion.exposure import ExposureProcess
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, network_calls
from entropy_sde_plugin.losses.exposure import CallWeights, call_loss, poisson_kl, released_kl
from tests.support import GOLDEN
from tests.support.exposure import golden_network

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')
EXPOSURES = {'unet8': (100, 1.0), 'unet12': (100, 1.0), 'naf1_8': (250, 2.0)}


def given(name):
    return torch.from_numpy(GIVEN[name]).double()


@functools.cache
def trained(name, correction, draw=False, factor=None):
    """One training step of the release: losses of the calls, the weights and the network with gradients."""
    network = golden_network(name, factor).double()
    ratio, gain = EXPOSURES[name]
    denoiser = ExposureDenoiser(network, ExposureProcess(ratio, gain), concat_origin=name == 'unet12')
    times = [*torch.tensor([1.0, 17.0, 60.0]).double(), CLEAN]
    counts = iter(given(f'train_{name}_draw_n').split(1)) if draw else None
    calls = network_calls(
        denoiser,
        given('x'),
        times,
        (lambda mean: next(counts)) if counts else (lambda mean: mean),
        given('gt') if correction == 'in_loop' else None,
    )
    losses = [call_loss(call.picture, call.parts, given('gt')) for call in calls]
    weights = CallWeights(2, 'released').double()
    weights.w.data = torch.full((2,), 1 / 3, dtype=torch.float32).double()
    total = weights([loss.picture + loss.parts for loss in losses])
    total.backward()
    return losses, total, weights, dict(network.named_parameters())


def norms(parameters, name):
    names = GIVEN['grad_names_naf1' if name.startswith('naf') else 'grad_names_unet']
    return [parameters[key].grad.norm().item() for key in names]


@pytest.mark.parametrize('correction', ['in_loop', 'none'])
@pytest.mark.parametrize('name', EXPOSURES)
def test_a_training_step_is_the_released_one(name, correction):
    losses, total, weights, parameters = trained(name, correction)
    prefix = f'train_{name}_{correction}'
    made = [[loss.picture.item(), loss.parts.item()] for loss in losses]
    np.testing.assert_allclose(made, GIVEN[f'{prefix}_step_l1_aux'], rtol=1e-8)
    np.testing.assert_allclose(total.item(), GIVEN[f'{prefix}_loss'], rtol=1e-8)
    np.testing.assert_allclose(weights.w.grad, GIVEN[f'{prefix}_w_grad'], rtol=1e-8)
    np.testing.assert_allclose(norms(parameters, name), GIVEN[f'{prefix}_grad_norms'], rtol=1e-8)
    if correction == 'in_loop':
        last = parameters['ending.bias' if name.startswith('naf') else 'conv10_1.bias']
        np.testing.assert_allclose(last.grad, GIVEN[f'{prefix}_grad_last_bias'], rtol=1e-8)


def test_a_training_step_with_given_counts():
    losses, total, _, parameters = trained('unet8', 'in_loop', draw=True)
    made = [[loss.picture.item(), loss.parts.item()] for loss in losses]
    np.testing.assert_allclose(made, GIVEN['train_unet8_draw_step_l1_aux'], rtol=1e-8)
    np.testing.assert_allclose(total.item(), GIVEN['train_unet8_draw_loss'], rtol=1e-8)
    np.testing.assert_allclose(norms(parameters, 'unet8'), GIVEN['train_unet8_draw_grad_norms'], rtol=1e-8)


def test_a_training_step_of_a_network_filled_without_a_factor():
    _, total, _, _ = trained('unet8', 'in_loop', factor=1.0)
    assert total.item() == pytest.approx(0.324167, abs=1e-6)


def test_the_released_divergence():
    value = released_kl(given('kl_pred'), given('kl_gt')).item()
    assert value == pytest.approx(GIVEN['kl_release'].item(), abs=1e-6)


def test_the_poisson_divergence_is_that_of_the_distributions():
    """By the sum over the counts of two Poisson distributions."""
    from scipy import stats

    a, b, counts = 3.0, 4.5, np.arange(80)
    p, q = (stats.poisson(mean) for mean in (a, b))
    expected = (p.pmf(counts) * (p.logpmf(counts) - q.logpmf(counts))).sum()
    assert poisson_kl(torch.tensor([b]), torch.tensor([a])).item() == pytest.approx(expected, rel=1e-5)
    assert poisson_kl(torch.tensor([a]), torch.tensor([a])).item() == 0


@pytest.mark.parametrize(('weighting', 'expected'), [('released', 2.0), ('softmax', 2.0), ('fixed', 2.0), ('sum', 6.0)])
def test_weights_at_the_start(weighting, expected):
    weights = CallWeights(2, weighting)
    assert weights([torch.tensor(3.0), torch.tensor(2.0), torch.tensor(1.0)]).item() == pytest.approx(expected)
    assert len(list(weights.parameters())) == (weighting in ('released', 'softmax'))


def test_a_ladder_of_one_call_fewer():
    losses = [torch.tensor(3.0), torch.tensor(2.0)]
    assert CallWeights(2, 'released')(losses).item() == pytest.approx(5 / 3)
    assert CallWeights(2, 'softmax')(losses).item() == pytest.approx(2.5)
    assert CallWeights(2, 'fixed')(losses).item() == pytest.approx(2.5)


@pytest.mark.parametrize(('weighting', 'falls_below_zero'), [('released', True), ('softmax', False)])
def test_where_the_first_call_is_the_easiest(weighting, falls_below_zero):
    """The released weight of the first call grows without bound, and the total falls below 0."""
    weights = CallWeights(2, weighting)
    optimiser = torch.optim.Adam(weights.parameters(), 0.05)
    losses = torch.tensor([0.1, 0.3, 0.4])
    for _ in range(200):
        optimiser.zero_grad()
        weights(losses).backward()
        optimiser.step()
    assert (weights(losses).item() < 0) == falls_below_zero
