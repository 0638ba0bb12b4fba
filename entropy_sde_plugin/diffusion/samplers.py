"""Samplers: pure functions that walk from the noisy degraded image at t = T to a clean image at t = 0.

A sampler knows a denoiser (any function that estimates x0 from a state), the process and a time grid; not where the
estimate comes from. Randomness is drawn from the generators that are handed in.

With y = x - mu the mean-reverting process is a variance-preserving diffusion, a_t = ``decays`` and sigma_bar_t =
``sigma_bars`` its moments, so that the solvers of that literature carry over. In all of them

- the estimate D of x0 is clamped to [0, 1] first: sigma_bar / a is 39 at t = T and 1 at about t = 60 (cosine, T = 100),
  and what a network says of x0 before that is enlarged noise. The noise that belongs to the clamped D,
  n = (x - mu - a (D - mu)) / sigma_bar, replaces the network's.
- the last step, to t = 0, returns D.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.errors import InputError

__all__ = [
    'SAMPLERS',
    'Callback',
    'Denoiser',
    'Generators',
    'Sampler',
    'ddim',
    'dpmpp_2m',
    'dpmpp_2m_sde',
    'euler_maruyama',
    'euler_ode',
    'posterior',
    'terminal_state',
    'time_grid',
]

Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(x_t, mu, t) -> estimate of x0; images (B, C, H, W)."""

Callback = Callable[[int, int, Tensor, Tensor], None]
"""(step from 0, time t of the step, state x_t, clamped estimate of x0) -> None, called once per denoiser call."""

Generators = torch.Generator | Sequence[torch.Generator]
"""One source of randomness for the batch, or one for each of its images."""

Sampler = Callable[..., Tensor]

Step = Callable[[Tensor, Tensor, int, int], Tensor]
"""(x_t, clamped estimate of x0, t, t of arrival, above 0) -> state at arrival."""

GRID_POWER = 1.5


def time_grid(T: int, steps: int) -> list[int]:
    """Strictly decreasing times from T to 0, closer together towards 0: T (1 - k / steps)^1.5, rounded.

    Near T the state says little of x0, so that few steps suffice there. As many steps as T visit every time.

    Args:
        T: Number of diffusion steps of the process.
        steps: Denoiser calls to spend, 1…T.

    Returns:
        ``steps + 1`` integers, the first T, the last 0.

    Raises:
        InputError: ``steps`` outside 1…T.
    """
    if not 1 <= steps <= T:
        raise InputError(f'sampler.steps must lie in 1…{T} (sde.T), got {steps}.')
    # The steps that are still to come need a time each.
    return [max(round(T * (1 - k / steps) ** GRID_POWER), steps - k) for k in range(steps + 1)]


def standard_normal(like: Tensor, generators: Generators) -> Tensor:
    """Standard normal noise shaped as ``like``, drawn on the generator's device: the same values whatever the GPU.

    With a generator for each image, an image's noise does not depend on the others in its batch.
    """
    if isinstance(generators, torch.Generator):
        noise = torch.randn(like.shape, generator=generators, device=generators.device, dtype=torch.float32)
    else:
        images = [torch.randn(like.shape[1:], generator=each, device=each.device) for each in generators]
        noise = torch.stack(images)
    return noise.to(like.device, like.dtype)


def terminal_state(process: IRSDE, mu: Tensor, generator: Generators) -> Tensor:
    """Draw x_T ~ N(mu, lambda²), where sampling starts (arXiv 2301.11699, section 3)."""
    return mu + process.stationary_std * standard_normal(mu, generator)


def posterior(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
) -> Tensor:
    """Ancestral sampling from the posterior of the next state given x_t and the estimated x0.

    The step of arXiv 2301.11699, eq. 11, with its variance; a grid that skips times uses the exact posterior across
    the gap.

    Args:
        denoiser: Estimates x0 from (x_t, mu, t).
        process: The diffusion process.
        mu: Degraded images, (B, C, H, W) in [0, 1].
        times: Strictly decreasing times, the first T, the last 0 for a clean image (see :func:`time_grid`).
        generator: Source of the initial and the injected noise; or one for each image.
        callback: Called after each denoiser call.

    Returns:
        Restored images, shaped as mu, in [0, 1]; the states at the last time if that is not 0.
    """

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        noise = process.posterior_std(t, to).to(x.device, x.dtype) * standard_normal(x, generator)
        return process.optimal_step(x, x0, mu, t, to) + noise

    return _walk(step, denoiser, process, mu, times, generator, callback)


def euler_maruyama(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
) -> Tensor:
    """Euler-Maruyama steps of the reverse SDE (arXiv 2301.11699, eq. 5), theta integrated over a gap of the grid.

    Arguments and result as for :func:`posterior`.
    """

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        elapsed = _elapsed(process, t, to)
        diffusion = process.stationary_std * math.sqrt(2 * elapsed)
        return _euler(process, x, x0, mu, t, elapsed, score_weight=2) + diffusion * standard_normal(x, generator)

    return _walk(step, denoiser, process, mu, times, generator, callback)


def euler_ode(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
) -> Tensor:
    """Euler steps of the probability-flow ODE: half the score of the reverse SDE, no noise but the initial one.

    Arguments and result as for :func:`posterior`.
    """

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        return _euler(process, x, x0, mu, t, _elapsed(process, t, to), score_weight=1)

    return _walk(step, denoiser, process, mu, times, generator, callback)


def ddim(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
    eta: float = 0.0,
) -> Tensor:
    """DDIM (arXiv 2010.02502, eq. 12) around mu.

    Arguments and result as for :func:`posterior`, and

    Args:
        eta: Share of fresh noise, 0…1. 0 is deterministic but for the initial noise; 1 is :func:`posterior`.
    """

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        level = _Level.of(process, to)
        fresh = eta * level.std * math.sqrt(-math.expm1(-2 * _gain(process, t, to)))
        x_to = mu + level.decay * (x0 - mu)
        x_to = x_to + math.sqrt(level.std**2 - fresh**2) * process.noise_from_x0(x, mu, x0, t)
        return x_to + fresh * standard_normal(x, generator) if eta > 0 else x_to

    return _walk(step, denoiser, process, mu, times, generator, callback)


def dpmpp_2m(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): the ODE, second order, in the estimates of x0.

    Arguments and result as for :func:`posterior`.
    """
    extrapolate = _Extrapolation(process)

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        here, there = _Level.of(process, t), _Level.of(process, to)
        towards = extrapolate(x0, t, to) - mu
        pull = there.decay * -math.expm1(-_gain(process, t, to))
        return mu + there.std / here.std * (x - mu) + pull * towards

    return _walk(step, denoiser, process, mu, times, generator, callback)


def dpmpp_2m_sde(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: Generators,
    callback: Callback | None = None,
) -> Tensor:
    """SDE-DPM-Solver++(2M) (arXiv 2211.01095, section 5): the reverse SDE, second order, in the estimates of x0.

    Arguments and result as for :func:`posterior`.
    """
    extrapolate = _Extrapolation(process)

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        here, there = _Level.of(process, t), _Level.of(process, to)
        gain = _gain(process, t, to)
        towards = extrapolate(x0, t, to) - mu
        pull = -math.expm1(-2 * gain)
        x_to = mu + there.std / here.std * math.exp(-gain) * (x - mu) + there.decay * pull * towards
        return x_to + there.std * math.sqrt(pull) * standard_normal(x, generator)

    return _walk(step, denoiser, process, mu, times, generator, callback)


SAMPLERS: dict[str, Sampler] = {
    sampler.__name__: sampler for sampler in (posterior, euler_maruyama, euler_ode, ddim, dpmpp_2m, dpmpp_2m_sde)
}


def _walk(
    step: Step,
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    generator: Generators,
    callback: Callback | None,
) -> Tensor:
    """Go through the grid; what a sampler adds is its ``step``."""
    x = terminal_state(process, mu, generator)
    for index, (t, to) in enumerate(pairwise(times)):
        x0 = denoiser(x, mu, t).clamp(0, 1)
        if callback is not None:
            callback(index, t, x, x0)
        x = step(x, x0, t, to) if to > 0 else x0
    return x


@dataclass(frozen=True)
class _Level:
    """Moments of the process at a time: x_t = mu + decay (x0 - mu) + std · noise."""

    decay: float
    std: float

    @classmethod
    def of(cls, process: IRSDE, t: int) -> _Level:
        return cls(process.decays[t].item(), process.sigma_bars[t].item())

    @property
    def log_ratio(self) -> float:
        """ln(a / sigma_bar), half the logarithm of the signal-to-noise ratio."""
        return math.log(self.decay / self.std)


def _gain(process: IRSDE, t: int, to: int) -> float:
    """How much the step from t to ``to`` gains in ln(a / sigma_bar), above 0: its length for the solvers."""
    return _Level.of(process, to).log_ratio - _Level.of(process, t).log_ratio


def _elapsed(process: IRSDE, t: int, to: int) -> float:
    """Integral of theta over the step, above 0."""
    return (process.thetas_cumsum[t] - process.thetas_cumsum[to]).item() * process.dt


def _euler(process: IRSDE, x: Tensor, x0: Tensor, mu: Tensor, t: int, elapsed: float, score_weight: float) -> Tensor:
    """An Euler step against the drift theta (mu - x) and along the score, whose weight is that of lambda² theta."""
    noise = process.noise_from_x0(x, mu, x0, t)
    pull = score_weight * process.stationary_std**2 * elapsed
    return x + elapsed * (x - mu) + pull * process.score(noise, t)


class _Extrapolation:
    """Estimates of x0 extrapolated to the middle of a step from the previous and the current one.

    Only once a / sigma_bar >= 1 at the previous time: before, the estimates differ by enlarged noise.
    """

    def __init__(self, process: IRSDE) -> None:
        self._process = process
        self._previous: tuple[int, Tensor] | None = None

    def __call__(self, x0: Tensor, t: int, to: int) -> Tensor:
        previous, self._previous = self._previous, (t, x0)
        if previous is None or _Level.of(self._process, previous[0]).log_ratio < 0:
            return x0
        ratio = _gain(self._process, t, to) / _gain(self._process, previous[0], t)
        return x0 + ratio / 2 * (x0 - previous[1])
