"""The posterior sampler against a Gaussian whose denoiser and law are known exactly."""

from itertools import pairwise

import pytest
import torch

from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.diffusion.samplers import posterior, terminal_state, time_grid
from entropy_sde_plugin.errors import InputError

PROCESS = IRSDE()


def exact_denoiser(mean, std):
    """E[x0 | x_t] for x0 ~ N(mean, std²): the best denoiser there is."""

    def denoise(xt, mu, t):
        drifted, noise = PROCESS.marginal(torch.full_like(mu, mean), mu, t)
        decay = torch.exp(-PROCESS.thetas_cumsum[t] * PROCESS.dt)
        return mean + std**2 * decay / (decay**2 * std**2 + noise**2) * (xt - drifted)

    return denoise


def sample(denoiser, steps=100, seed=0, **kwargs):
    mu = torch.full((1, 1, 100, 100), 0.2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    return posterior(denoiser, PROCESS, mu, time_grid(100, steps), generator=generator, **kwargs)


def test_it_samples_the_law_of_the_data():
    x = sample(exact_denoiser(0.6, 0.05))
    assert x.mean().item() == pytest.approx(0.6, abs=2e-3)  # 4 standard errors of 10,000 pixels
    # Ancestral sampling lays the estimate in place of the unknown x0, which narrows the law: 6% at 100 steps.
    assert x.std().item() == pytest.approx(0.05, abs=5e-3)


@pytest.mark.parametrize('steps', [1, 2, 3, 7, 100])
def test_a_perfect_denoiser_gives_its_picture_at_any_number_of_steps(steps):
    torch.testing.assert_close(
        sample(lambda x, mu, t: torch.full_like(x, 0.7), steps), torch.full((1, 1, 100, 100), 0.7).double()
    )


def test_estimates_are_clamped_and_the_callback_sees_every_step():
    seen = []
    result = sample(lambda x, mu, t: x + 9, 4, callback=lambda step, t, x, x0: seen.append((step, t, x0.max().item())))
    assert seen == [(0, 100, 1.0), (1, 75, 1.0), (2, 50, 1.0), (3, 25, 1.0)]
    assert result.max() <= 1


def test_the_seed_decides_and_global_randomness_is_untouched():
    before = torch.get_rng_state()
    first, same, other = (sample(exact_denoiser(0.5, 0.1), 5, seed) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_starts_from_the_stationary_law():
    mu = torch.full((1, 3, 64, 64), 0.3)
    x = terminal_state(PROCESS, mu, torch.Generator().manual_seed(0))
    assert (x - mu).std().item() == pytest.approx(50 / 255, rel=0.03)
    assert (x - mu).mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(('T', 'steps'), [(100, 1), (100, 7), (100, 100), (3, 2), (1, 1)])
def test_grids_fall_strictly_from_T_to_0(T, steps):
    times = time_grid(T, steps)
    assert (times[0], times[-1], len(times)) == (T, 0, steps + 1)
    assert all(later < earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize('steps', [0, 101])
def test_a_number_of_steps_outside_the_process_is_refused(steps):
    with pytest.raises(InputError, match=r'1…100'):
        time_grid(100, steps)
