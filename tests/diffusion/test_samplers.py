"""The samplers against laws whose denoisers, flows and marginals are known exactly."""

from itertools import pairwise

import pytest
import torch

from entropy_sde_plugin.diffusion import CLEAN, DDPM, IRSDE
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, standard_normal
from entropy_sde_plugin.errors import InputError
from tests.support.processes import PROCESSES

PROCESS = PROCESSES['irsde']
MU = 0.2


def moments(process, t):
    return process.decays[t].item(), process.stds[t].item()


def exact_denoiser(mean, std, process=PROCESS):
    """E[x0 | x_t] for x0 ~ N(mean, std²): the best denoiser there is."""

    def denoise(xt, cond, t):
        decay, noise = moments(process, t)
        m = process.mean(cond)
        drifted = m + decay * (mean - m)
        return mean + std**2 * decay / (decay**2 * std**2 + noise**2) * (xt - drifted)

    return denoise


def mixture_denoiser(means, std, process=PROCESS):
    """E[x0 | x_t] for an even mixture of N(mean, std²): each component's estimate by its posterior probability."""

    def denoise(xt, cond, t):
        decay, noise = moments(process, t)
        variance = decay**2 * std**2 + noise**2
        m = process.mean(cond)
        offsets = torch.stack([xt - m - decay * (mean - m) for mean in means])
        probability = torch.softmax(-(offsets**2) / (2 * variance), 0)
        estimates = torch.stack([exact_denoiser(mean, std, process)(xt, cond, t) for mean in means])
        return (probability * estimates).sum(0)

    return denoise


def sample(name, denoiser, steps=100, seed=0, process=PROCESS, times=None, **kwargs):
    mu = torch.full((1, 1, 100, 100), MU, dtype=torch.float64)
    noise = standard_normal(torch.Generator().manual_seed(seed))
    times = process.time_grid(steps) if times is None else times
    return SAMPLERS[name](denoiser, process, mu, times, noise=noise, **kwargs)


@pytest.mark.parametrize('process', PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize('name', SAMPLERS)
def test_it_samples_the_law_of_the_data(name, process):
    """A Gaussian between two modes would say nothing of their shares: the mixture does."""
    x = sample(name, mixture_denoiser((0.35, 0.65), 0.03, process), steps=len(process.times), process=process)
    low, high = x[x < 0.5], x[x >= 0.5]
    assert len(low.flatten()) == pytest.approx(5000, abs=400)  # chance is 50; euler_ode's error at 100 steps is 270
    assert low.mean().item() == pytest.approx(0.35, abs=4e-3)
    assert high.mean().item() == pytest.approx(0.65, abs=4e-3)
    # The last step returns an estimate of x0 instead of a draw, which narrows the law.
    assert low.std().item() == pytest.approx(0.03, rel=0.2)
    assert high.std().item() == pytest.approx(0.03, rel=0.2)


FINE = IRSDE(T=4000)
START, STOP = 2000, 400  # in the part where the second order applies, and away from the last step
MEAN, STD = 0.5, 0.1


def walk(name, steps, size=1, noise=None):
    """Take ``steps`` steps from START to STOP towards N(MEAN, STD²) on a fine process; the first and last state."""
    mu = torch.full((1, 1, 1, size), MU, dtype=torch.float64)
    times = [START - (START - STOP) * k // steps for k in range(steps + 1)]
    states = []
    denoiser = exact_denoiser(MEAN, STD, FINE)
    noise = noise or standard_normal(torch.Generator().manual_seed(0))
    end = SAMPLERS[name](denoiser, FINE, mu, times, noise=noise, callback=lambda step, t, x, x0: states.append(x))
    return states[0], end


def law(t):
    """Mean and variance of x_t."""
    decay, noise = moments(FINE, t)
    return MU + decay * (MEAN - MU), decay**2 * STD**2 + noise**2


def orders(error_at):
    """Slopes of the logarithm of the error against that of the step's length."""
    errors = torch.tensor([error_at(steps) for steps in (50, 100, 200)])
    return (errors[:-1] / errors[1:]).log2().tolist()


@pytest.mark.parametrize(('name', 'order'), [('euler_ode', 1), ('ddim', 1), ('dpmpp_2m', 2)])
def test_the_solvers_of_the_flow_converge_at_their_order(name, order):
    """The flow of a Gaussian is known: (x_t - mean_t) / std_t stays what it was."""

    def standardised(x, t):
        mean, variance = law(t)
        return (x - mean) / variance**0.5

    def error_at(steps):
        start, end = walk(name, steps, size=64)
        return (standardised(end, STOP) - standardised(start, START)).abs().mean().item()

    assert orders(error_at) == pytest.approx([order, order], abs=0.25)


@pytest.mark.parametrize(('name', 'order'), [('posterior', 1), ('euler_maruyama', 1), ('dpmpp_2m_sde', 2)])
def test_the_solvers_of_the_sde_converge_at_their_weak_order(name, order):
    """Mean and variance against those of the exact reverse process, a Gaussian whose start is N(mu, lambda²).

    Everything is linear here, so that the moments can be read off without chance: pixel k sees a 1 in place of the k-th
    draw and 0 otherwise, and the last pixel no noise at all.
    """
    (mean_start, var_start), (mean_stop, var_stop) = law(START), law(STOP)
    gain = moments(FINE, START)[0] / moments(FINE, STOP)[0] * var_stop / var_start
    mean = mean_stop + gain * (MU - mean_start)
    variance = gain**2 * (FINE.stationary_std**2 - var_start) + var_stop

    def error_at(steps):
        draws = iter(torch.eye(steps + 2, dtype=torch.float64)[: steps + 1])
        end = walk(name, steps, size=steps + 2, noise=lambda like: next(draws).expand_as(like))[1].flatten()
        return abs(end[-1].item() - mean) + abs((end[:-1] - end[-1]).square().sum().item() - variance)

    assert orders(error_at) == pytest.approx([order, order], abs=0.25)


def test_the_posterior_is_ddim_with_all_of_the_noise_at_any_grid():
    for times in ([100, 60, 59, 20, 1, CLEAN], PROCESS.time_grid(7), PROCESS.time_grid(100)):
        a = sample('posterior', exact_denoiser(0.6, 0.05), times=times)
        b = sample('ddim', exact_denoiser(0.6, 0.05), times=times, eta=1.0)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', SAMPLERS)
@pytest.mark.parametrize('steps', [1, 2, 3, 7, 100])
def test_a_perfect_denoiser_gives_its_picture_at_any_number_of_steps(name, steps):
    x = sample(name, lambda x, mu, t: torch.full_like(x, 0.7), steps)
    torch.testing.assert_close(x, torch.full((1, 1, 100, 100), 0.7).double())


@pytest.mark.parametrize('name', SAMPLERS)
def test_estimates_are_clamped_and_the_callback_sees_every_step(name):
    seen = []
    result = sample(
        name, lambda x, mu, t: x + 9, 4, callback=lambda step, t, x, x0: seen.append((step, t, x0.max().item()))
    )
    assert seen == [(0, 100, 1.0), (1, 65, 1.0), (2, 35, 1.0), (3, 12, 1.0)]
    assert result.max() <= 1


def test_the_second_order_waits_until_the_estimates_are_more_than_noise():
    """sigma_bar / a falls to 1 at t = 60: a step whose previous time lies before that is of first order, as ddim."""
    wobbling = [100, 80, 62, 55]
    a, b = (sample(name, lambda x, mu, t: torch.full_like(x, t / 200), times=wobbling) for name in ('dpmpp_2m', 'ddim'))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    later = [*wobbling, 40, 20]
    a, b = (sample(name, lambda x, mu, t: torch.full_like(x, t / 200), times=later) for name in ('dpmpp_2m', 'ddim'))
    assert (a - b).abs().max() > 1e-3


@pytest.mark.parametrize('name', SAMPLERS)
def test_the_seed_decides_and_global_randomness_is_untouched(name):
    before = torch.get_rng_state()
    first, same, other = (sample(name, exact_denoiser(0.5, 0.1), 5, seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('name', SAMPLERS)
def test_a_generator_for_each_image_makes_the_batch_irrelevant(name):
    mu = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(9))

    def run(images, seeds):
        noise = standard_normal([torch.Generator().manual_seed(seed) for seed in seeds])
        return SAMPLERS[name](exact_denoiser(0.5, 0.1), PROCESS, images, PROCESS.time_grid(4), noise=noise)

    together = run(mu, [5, 6, 7])
    alone = torch.cat([run(mu[[k]], [5 + k]) for k in (2, 0, 1)])[[1, 2, 0]]
    assert torch.equal(together, alone)
    noise = standard_normal(torch.Generator().manual_seed(5))
    single = SAMPLERS[name](exact_denoiser(0.5, 0.1), PROCESS, mu[:1], PROCESS.time_grid(4), noise=noise)
    assert torch.equal(together[:1], single)


def test_sampling_starts_from_the_stationary_law():
    mu = torch.full((1, 3, 64, 64), 0.3)
    x = PROCESS.start(mu, torch.randn(mu.shape, generator=torch.Generator().manual_seed(0)))
    assert (x - mu).std().item() == pytest.approx(50 / 255, rel=0.03)
    assert (x - mu).mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(('T', 'steps'), [(100, 1), (100, 7), (100, 64), (100, 99), (100, 100), (3, 2), (1, 1)])
def test_grids_fall_strictly_to_the_clean_image(T, steps):
    for process in (IRSDE(T=T), DDPM(T=T)):
        *times, last = process.time_grid(steps)
        assert last is CLEAN
        assert len(times) == steps
        assert times[0] <= process.times[-1]
        assert all(later < earlier for earlier, later in pairwise(times))
    assert IRSDE(T=T).time_grid(steps)[0] == T
    assert DDPM(T=T).time_grid(steps)[-2] == 0


def test_grids_are_closer_together_towards_the_picture():
    assert PROCESS.time_grid(4) == [100, 65, 35, 12, CLEAN]  # 100 (1 - k/4)^1.5, rounded


@pytest.mark.parametrize('steps', [0, 101])
def test_a_number_of_steps_outside_the_process_is_refused(steps):
    with pytest.raises(InputError, match=r'1…100'):
        PROCESS.time_grid(steps)
