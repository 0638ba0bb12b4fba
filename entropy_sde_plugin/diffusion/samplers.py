"""Samplers: pure functions that walk from noise to a clean image.

A sampler needs a denoiser (any function that estimates x0 from a state), a process, a time grid and a source of noise.
It depends neither on how the estimate is made nor on where the noise comes from: random generators, or the inputs of an
exported model.

With y = x - m every :class:`~.process.GaussianProcess` here is a variance-preserving diffusion with the moments a_t and
s_t, so the solvers of that literature apply to IR-SDE and DDPM alike. In all of them

- the estimate D of x0 is clamped to the process's image range first: for IR-SDE s / a is 39 at t = T and 1 at about
  t = 60 (cosine, T = 100), and what a network says of x0 before that is amplified noise. The noise that belongs to the
  clamped D, n = (x - m - a (D - m)) / s, replaces the network's.
- the last step, to :data:`~.process.CLEAN`, returns D.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.process import CLEAN, GaussianProcess, TimeGrid

__all__ = [
    'SAMPLERS',
    'Callback',
    'Denoiser',
    'Noise',
    'Sampler',
    'ddim',
    'dpmpp_2m',
    'dpmpp_2m_sde',
    'euler_maruyama',
    'euler_ode',
    'posterior',
    'standard_normal',
]

Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(x_t, cond, t) -> estimate of x0; images (B, C, H, W) in the process's range."""

Callback = Callable[[int, int, Tensor, Tensor], None]
"""(step from 0, time t of the step, state x_t, clamped estimate of x0) -> None, called once per denoiser call."""

Noise = Callable[[Tensor], Tensor]
"""(images, (B, C, H, W)) -> standard normal noise of their shape, dtype and device: another draw at every call."""

Step = Callable[[Tensor, Tensor, int, int], Tensor]
"""(x_t, clamped estimate of x0, t, noisy time of arrival) -> state at arrival."""


class Sampler(Protocol):
    """How every sampler is called.

    Args:
        denoiser: Estimates x0 from (x_t, cond, t).
        process: The diffusion process.
        cond: Condition images, (B, C, H, W), in the process's range.
        times: Strictly decreasing times; the last is ``CLEAN`` for a clean image (see ``process.time_grid``).
        noise: Source of the initial and the injected noise (see :func:`standard_normal`).
        start: State at the first time, shaped as cond, to sample from; by default it is drawn.
        callback: Called after each denoiser call.
        clip: Clamp the estimates of x0 to the process's range; the released DDPM code does not.
        options: Arguments of the sampler itself, e.g. ``eta`` of :func:`ddim`.

    Returns:
        Restored images, shaped as cond, in the process's range; the states at the last time if that is not ``CLEAN``.

    Example:
        >>> from entropy_sde_plugin.diffusion import IRSDE
        >>> process, dark = IRSDE(), torch.full((1, 3, 8, 8), 0.1)
        >>> denoiser = lambda x, cond, t: torch.full_like(x, 0.75)
        >>> noise = standard_normal(torch.Generator().manual_seed(0))
        >>> posterior(denoiser, process, dark, process.time_grid(8), noise=noise).unique()
        tensor([0.7500])
    """

    def __call__(
        self,
        denoiser: Denoiser,
        process: GaussianProcess,
        cond: Tensor,
        times: TimeGrid,
        *,
        noise: Noise,
        start: Tensor | None = None,
        callback: Callback | None = None,
        clip: bool = True,
        **options: Any,
    ) -> Tensor: ...


def standard_normal(generators: torch.Generator | Sequence[torch.Generator]) -> Noise:
    """Make a source of noise.

    Args:
        generators: One for the batch, or one for each of its images, whose noise then does not depend on the others.
            Noise is drawn on their device, so that a CPU generator gives the same on every machine.

    Example:
        >>> noise, images = standard_normal(torch.Generator().manual_seed(0)), torch.zeros(2, 3, 8, 8)
        >>> bool((noise(images) == noise(images)).any())
        False
    """

    def draw(like: Tensor) -> Tensor:
        if isinstance(generators, torch.Generator):
            drawn = _drawn(like.shape, generators)
        else:
            drawn = torch.stack([_drawn(like.shape[1:], each) for each in generators])
        return drawn.to(like.device, like.dtype)

    return draw


def _drawn(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)


def _sampler(make_step: Callable[..., Step]) -> Sampler:
    """Make a sampler from its step: ``make_step(process, cond, noise, **options)`` returns the step function."""

    @functools.wraps(make_step)
    def sample(
        denoiser: Denoiser,
        process: GaussianProcess,
        cond: Tensor,
        times: TimeGrid,
        *,
        noise: Noise,
        start: Tensor | None = None,
        callback: Callback | None = None,
        clip: bool = True,
        **options: Any,
    ) -> Tensor:
        step = make_step(process, cond, noise, **options)
        x = process.start(cond, noise(cond)) if start is None else start
        for index, (t, to) in enumerate(pairwise(times)):
            assert t is not CLEAN
            x0 = denoiser(x, cond, t)
            if clip:
                x0 = x0.clamp(*process.image_range)
            if callback is not None:
                callback(index, t, x, x0)
            x = x0 if to is CLEAN else step(x, x0, t, to)
        return x

    return sample


@_sampler
def posterior(process: GaussianProcess, cond: Tensor, noise: Noise) -> Step:
    """Ancestral sampling from the posterior of the next state given x_t and the estimated x0.

    The step of arXiv 2301.11699, eq. 11, with its variance; for a DDPM that of arXiv 2006.11239, eq. 6 and 7. A grid
    that skips times uses the exact posterior across the gap.
    """

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        std = process.posterior_std(t, to).to(x.device, x.dtype)
        return process.posterior_mean(x, x0, cond, t, to) + std * noise(x)

    return step


@_sampler
def euler_maruyama(process: GaussianProcess, cond: Tensor, noise: Noise) -> Step:
    """Euler-Maruyama steps of the reverse SDE (arXiv 2301.11699, eq. 5), theta integrated over a gap of the grid."""

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        diffusion = process.stationary_std * math.sqrt(2 * process.elapsed(t, to))
        return _euler(process, x, x0, cond, t, to, score_weight=2) + diffusion * noise(x)

    return step


@_sampler
def euler_ode(process: GaussianProcess, cond: Tensor, noise: Noise) -> Step:
    """Euler steps of the probability-flow ODE: half the score of the reverse SDE, no noise but the initial one."""

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        return _euler(process, x, x0, cond, t, to, score_weight=1)

    return step


@_sampler
def ddim(process: GaussianProcess, cond: Tensor, noise: Noise, *, eta: float = 0.0) -> Step:
    """DDIM (arXiv 2010.02502, eq. 12) around the process's mean.

    Args:
        eta: Share of fresh noise, 0…1. 0 is deterministic but for the initial noise; 1 is :func:`posterior`.
    """
    m = process.mean(cond)

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        level = process.level(to)
        fresh = eta * level.std * math.sqrt(-math.expm1(-2 * process.gain(t, to)))
        x_to = m + level.decay * (x0 - m)
        x_to = x_to + math.sqrt(level.std**2 - fresh**2) * process.noise_from_x0(x, cond, x0, t)
        return x_to + fresh * noise(x) if eta > 0 else x_to

    return step


@_sampler
def dpmpp_2m(process: GaussianProcess, cond: Tensor, noise: Noise) -> Step:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): the ODE, second order, in the estimates of x0."""
    m, extrapolate = process.mean(cond), _Extrapolation(process)

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        here, there = process.level(t), process.level(to)
        towards = extrapolate(x0, t, to) - m
        pull = there.decay * -math.expm1(-process.gain(t, to))
        return m + there.std / here.std * (x - m) + pull * towards

    return step


@_sampler
def dpmpp_2m_sde(process: GaussianProcess, cond: Tensor, noise: Noise) -> Step:
    """SDE-DPM-Solver++(2M) (arXiv 2211.01095, section 5): the reverse SDE, second order, in the estimates of x0."""
    m, extrapolate = process.mean(cond), _Extrapolation(process)

    def step(x: Tensor, x0: Tensor, t: int, to: int) -> Tensor:
        here, there, gain = process.level(t), process.level(to), process.gain(t, to)
        towards = extrapolate(x0, t, to) - m
        pull = -math.expm1(-2 * gain)
        x_to = m + there.std / here.std * math.exp(-gain) * (x - m) + there.decay * pull * towards
        return x_to + there.std * math.sqrt(pull) * noise(x)

    return step


SAMPLERS: dict[str, Sampler] = {
    'posterior': posterior,
    'euler_maruyama': euler_maruyama,
    'euler_ode': euler_ode,
    'ddim': ddim,
    'dpmpp_2m': dpmpp_2m,
    'dpmpp_2m_sde': dpmpp_2m_sde,
}
"""The samplers by the names that option files and the command use."""


def _euler(
    process: GaussianProcess, x: Tensor, x0: Tensor, cond: Tensor, t: int, to: int, score_weight: float
) -> Tensor:
    """An Euler step against the drift theta (m - x) and along the score, which is weighted by lambda² theta."""
    elapsed = process.elapsed(t, to)
    noise = process.noise_from_x0(x, cond, x0, t)
    pull = score_weight * process.stationary_std**2 * elapsed
    return x + elapsed * (x - process.mean(cond)) + pull * process.score(noise, t)


class _Extrapolation:
    """Estimates of x0 extrapolated to the middle of a step from the previous and the current one.

    Only once a / s >= 1 at the previous time: before that, the estimates differ mainly by amplified noise.
    """

    def __init__(self, process: GaussianProcess) -> None:
        self._process = process
        self._previous: tuple[int, Tensor] | None = None

    def __call__(self, x0: Tensor, t: int, to: int) -> Tensor:
        previous, self._previous = self._previous, (t, x0)
        if previous is None or self._process.level(previous[0]).log_ratio < 0:
            return x0
        ratio = self._process.gain(t, to) / self._process.gain(previous[0], t)
        return x0 + ratio / 2 * (x0 - previous[1])
