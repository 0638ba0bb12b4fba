"""The process against the released definitions' golden values, numerical integration and its own closed forms."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch.distributions import Normal

from entropy_sde_plugin.diffusion import CLEAN, IRSDE
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

# Computed once from the released definition of IR-SDE in float32. One's own schedule is amplified where 1 - C² cancels
# and where 1 / a_T = 200, hence the looser tolerances of three of the values.
IRSDE_GOLDEN = np.load(GOLDEN / 'irsde.npz')
CLOSE = {'rtol': 1e-5, 'atol': 1e-6}


@pytest.fixture(params=['c0', 'c1', 'c2', 'c3'])
def case(request):
    prefix = f'{request.param}_'
    values = {key.removeprefix(prefix): IRSDE_GOLDEN[key] for key in IRSDE_GOLDEN if key.startswith(prefix)}
    arrays = {key: torch.from_numpy(value) for key, value in values.items() if value.ndim}
    settings = {key: values[key].item() for key in ('max_sigma', 'T', 'schedule', 'eps')}
    return IRSDE(**settings), arrays, values['dt'].item()


def close(actual, expected, **tolerance):
    torch.testing.assert_close(actual.to(expected.dtype), expected, **(tolerance or CLOSE))


def constant(value):
    return torch.full((1, 1, 1, 1), float(value), dtype=torch.float64)


def test_schedule_is_the_released_one(case):
    process, golden, dt = case
    for name in ('thetas', 'sigmas', 'thetas_cumsum'):
        close(getattr(process, name), golden[name])
    close(process.stds, golden['sigma_bars'])
    assert process.dt == pytest.approx(dt, rel=1e-6)


def test_moments_and_steps_are_the_released_ones(case):
    process, golden, _ = case
    x0, mu, xt, t, noise = (golden[key] for key in ('x0', 'mu', 'xt', 't', 'noise_pred'))
    mean, std = process.marginal(x0, mu, t)
    close(mean, golden['mu_bar'])
    close(mean + std * golden['noise'], xt)
    close(process.reverse_sde_mean(xt, mu, noise, t), golden['reverse_sde_step_mean'])
    close(process.optimal_step(xt, x0, mu, t), golden['reverse_optimum_step'], rtol=1e-5, atol=1e-4)
    close(process.x0_from_noise(xt, mu, noise, t), golden['x0_from_noise'], rtol=1e-4, atol=1e-4)
    close(process.score(noise, t), golden['score'], rtol=1e-4, atol=1e-6)
    close(process.posterior_std(t, t - 1), golden['posterior_std'])


@pytest.mark.parametrize('schedule', ['cosine', 'linear', 'constant'])
def test_marginal_solves_the_moment_equations(schedule):
    """dm/ds = theta (mu - m) and dv/ds = -2 theta v + sigma², theta constant on each step, integrated numerically."""
    process = IRSDE(max_sigma=40, T=12, schedule=schedule)
    x0, mu = 0.8, 0.1
    moments = np.array([x0, 0.0])
    for t in range(1, process.T + 1):
        theta, sigma = process.thetas[t].item(), process.sigmas[t].item()

        def drift(_, m, theta=theta, sigma=sigma):
            return [theta * (mu - m[0]), -2 * theta * m[1] + sigma**2]

        moments = solve_ivp(drift, (0, process.dt), moments, rtol=1e-10, atol=1e-12).y[:, -1]
        mean, std = process.marginal(constant(x0), constant(mu), t)
        assert mean.item() == pytest.approx(moments[0], abs=1e-8)
        assert std.item() ** 2 == pytest.approx(moments[1], abs=1e-8)


def test_almost_nothing_of_x0_is_left_at_the_end():
    process = IRSDE(eps=0.01)
    mean, std = process.marginal(constant(1), constant(0), process.T)
    assert mean.item() == pytest.approx(0.01, rel=1e-9)
    assert std.item() == pytest.approx(50 / 255, rel=1e-4)


@pytest.mark.parametrize(('t', 'to'), [(1, None), (2, None), (57, None), (100, None), (100, 50), (60, 3), (9, 0)])
def test_posterior_is_bayes_rule(t, to):
    """Its precision is the sum of the marginal's and the transition's, its mean their weighted sum."""
    process = IRSDE()
    torch.manual_seed(t)
    x0, mu, xt = (torch.rand(3, 1, 2, 2, dtype=torch.float64) for _ in range(3))
    arrival = t - 1 if to is None else to
    if to is None:
        assert torch.equal(process.optimal_step(xt, x0, mu, t), process.posterior_mean(xt, x0, mu, t, arrival))
    if arrival == 0:
        for clean in (0, CLEAN):
            torch.testing.assert_close(process.posterior_mean(xt, x0, mu, t, clean), x0)
            assert process.posterior_std(t, clean).item() == 0
        return
    prior_mean, prior_std = process.marginal(x0, mu, arrival)
    shrink = torch.exp(-(process.thetas_cumsum[t] - process.thetas_cumsum[arrival]) * process.dt)
    variance = process.stationary_std**2 * (1 - shrink**2)  # of x_t given the state at arrival
    precision = 1 / prior_std**2 + shrink**2 / variance
    expected = (prior_mean / prior_std**2 + shrink * (xt - mu + shrink * mu) / variance) / precision
    torch.testing.assert_close(process.posterior_mean(xt, x0, mu, t, arrival), expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(process.posterior_std(t, arrival), precision.rsqrt(), rtol=1e-9, atol=1e-12)


def test_score_is_the_gradient_of_the_log_density():
    process, t = IRSDE(), torch.tensor([1, 30, 100])
    x0, mu, noise = (torch.rand(3, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    mean, std = process.marginal(x0, mu, t)
    xt = (mean + std * noise).requires_grad_()
    Normal(mean, std.expand_as(mean)).log_prob(xt).sum().backward()
    torch.testing.assert_close(process.score(noise, t), xt.grad)


def test_noise_and_x0_are_two_names_of_one_estimate():
    process, t = IRSDE(T=20), torch.tensor([1, 20])
    xt, mu, noise = (torch.rand(2, 3, 4, 4, dtype=torch.float64) for _ in range(3))
    x0 = process.x0_from_noise(xt, mu, noise, t)
    torch.testing.assert_close(process.noise_from_x0(xt, mu, x0, t), noise)
    torch.testing.assert_close(sum(process.marginal(x0, mu, t)[i] * (1, noise)[i] for i in (0, 1)), xt)


def test_shape_and_dtype_of_a_batch_of_times():
    process = IRSDE()
    images = torch.rand(2, 3, 5, 7, dtype=torch.bfloat16)
    mean, std = process.marginal(images, images, torch.tensor([3, 4]))
    assert mean.shape == images.shape
    assert mean.dtype == torch.bfloat16
    assert std.shape == (2, 1, 1, 1)
    assert process.posterior_std(7, 3).shape == (1, 1, 1, 1)


@pytest.mark.parametrize('t', [0, 101, -1, torch.tensor([5, 101]), 2.5, torch.tensor([]), True, None, '3', 10**30])
def test_a_time_outside_the_process_is_refused(t):
    image = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match=r'1…100|integer'):
        IRSDE().marginal(image, image, t)


@pytest.mark.parametrize(('images', 'times'), [(1, 3), (2, 3), (3, 2)])
def test_as_many_times_as_images(images, times):
    """One image would become three in silence."""
    process, image, t = IRSDE(), torch.rand(images, 3, 4, 4), torch.arange(1, times + 1)
    expected = pytest.raises(InputError, match=f'A batch of {images} images needs 1 or {images} diffusion times')
    with expected:
        process.marginal(image, image, t)
    with expected:
        process.score(image, t)
    for formula in (process.x0_from_noise, process.noise_from_x0, process.reverse_sde_mean, process.optimal_step):
        with expected:
            formula(image, image, image, t)
    with expected:
        process.posterior_mean(image, image, image, 9, t)
    with pytest.raises(InputError, match='2 diffusion times need 1 or 2 arrival times, got 3'):
        process.posterior_mean(image, image, image, torch.tensor([8, 9]), torch.tensor([1, 2, 3]))
    one = torch.tensor([5])
    assert torch.equal(process.marginal(image, image, one)[0], process.marginal(image, image, 5)[0])


@pytest.mark.parametrize('to', [7, 8, -1])
def test_a_step_must_go_down(to):
    image = torch.rand(1, 3, 4, 4)
    with pytest.raises(InputError, match='must arrive'):
        IRSDE().posterior_mean(image, image, image, 7, to)


@pytest.mark.parametrize(
    ('wrong', 'expected'),
    [({'max_sigma': 0}, 'max_sigma'), ({'T': 0}, 'T must'), ({'eps': 1}, 'eps'), ({'schedule': 'cosin'}, "'cosine'")],
)
def test_settings_outside_their_range_are_refused(wrong, expected):
    with pytest.raises(InputError, match=expected):
        IRSDE(**wrong)
