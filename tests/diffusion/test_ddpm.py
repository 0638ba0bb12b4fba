"""DDPM against values of the released LLDiffusion's DDIM, Bayes' rule and an independent product of its betas."""

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion import CLEAN, DDPM
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import SAMPLERS
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

DDIM = np.load(GOLDEN / 'ddpm.npz')


def image(shape, seed):
    """0.5 + 0.5 sin(0.113 i + seed) over the flat index i, as the golden values' inputs are made."""
    flat = torch.arange(torch.tensor(shape).prod().item(), dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.113 * flat + seed)).float().view(shape)


def test_the_products_of_the_betas_are_the_released_ones():
    process = DDPM()
    np.testing.assert_allclose(process.abars, DDIM['abar'], rtol=1e-6)
    np.testing.assert_allclose(process.abars, np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), rtol=1e-4)
    assert process.decays[999].item() ** 2 == pytest.approx(4.03583e-5, rel=1e-4)


def test_ddim_walks_as_the_released_sampler():
    """25 steps with an analytic noise prediction; the released sampler does not clip its estimates of x0."""
    process, shape = DDPM(), (1, 3, 16, 24)
    start, cond = 4 * (image(shape, 3) - 0.5), 2 * image(shape, 1) - 1
    denoiser = NetworkDenoiser(lambda x, c, t: 0.9 * x - 0.3 * c + t / 1e4, process, 'noise')
    states, estimates = [], []
    times = process.time_grid(25)
    assert times[:-1] == DDIM['ddim_t'].tolist()

    end = SAMPLERS['ddim'](
        denoiser,
        process,
        cond,
        times,
        noise=lambda like: start,
        callback=lambda step, t, x, x0: (states.append(x[0]), estimates.append(x0[0])),
        clip=False,
    )
    states.append(end[0])
    for made, expected in zip((states[k] for k in (0, 1, 2, 12, 24, 25)), DDIM['ddim_xs'], strict=True):
        assert relative_error(made, expected) < 1e-5
    for made, expected in zip((estimates[k] for k in (0, 1, 12, 24)), DDIM['ddim_x0'], strict=True):
        assert relative_error(made, expected) < 1e-5
    np.testing.assert_allclose([x.double().norm() for x in states], DDIM['ddim_norms'], rtol=1e-5)


def relative_error(made, expected):
    return (made - torch.from_numpy(expected)).norm().item() / np.linalg.norm(expected)


@pytest.mark.parametrize(('t', 'to'), [(1, 0), (999, 500), (500, 499), (40, 3), (0, CLEAN), (700, CLEAN)])
def test_posterior_is_bayes_rule(t, to):
    """Its precision is the sum of the marginal's and the transition's, its mean their weighted sum."""
    process = DDPM()
    torch.manual_seed(t)
    x0, cond, xt = (torch.rand(2, 1, 2, 2, dtype=torch.float64) * 2 - 1 for _ in range(3))
    if to is CLEAN:
        torch.testing.assert_close(process.posterior_mean(xt, x0, cond, t, to), x0)
        assert process.posterior_std(t, to).item() == 0
        return
    kept = process.abars[t] / process.abars[to]  # of the variance, from `to` to t
    prior_mean, prior_variance = process.abars[to].sqrt() * x0, 1 - process.abars[to]
    precision = 1 / prior_variance + kept / (1 - kept)
    expected = (prior_mean / prior_variance + kept.sqrt() * xt / (1 - kept)) / precision
    torch.testing.assert_close(process.posterior_mean(xt, x0, cond, t, to), expected, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(process.posterior_std(t, to).squeeze(), precision.rsqrt(), rtol=1e-8, atol=1e-9)


def test_states_do_not_depend_on_the_condition():
    process, x0, noise = DDPM(), torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    t = torch.tensor([0, 999])
    a, b = (process.draw(x0, torch.full_like(x0, value), t, noise) for value in (0.1, 0.9))
    assert torch.equal(a, b)
    assert torch.equal(process.start(x0, noise), noise)


def test_images_are_mapped_to_the_range_and_back():
    process, images = DDPM(), torch.tensor([0.0, 0.25, 1.0])
    assert process.from_unit(images).tolist() == [-1, -0.5, 1]
    assert torch.equal(process.to_unit(process.from_unit(images)), images)


@pytest.mark.parametrize('t', [-1, 1000])
def test_a_time_outside_the_process_is_refused(t):
    with pytest.raises(InputError, match='0…999'):
        DDPM().level(t)


@pytest.mark.parametrize('wrong', [{'T': 0}, {'beta_start': 0}, {'beta_end': 1}, {'beta_start': 0.1, 'beta_end': 0.01}])
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(InputError, match=r'DDPM|beta'):
        DDPM(**wrong)
