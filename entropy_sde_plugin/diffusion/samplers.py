"""Samplers: pure functions that walk from the noisy degraded image at t = T to a clean image at t = 0.

A sampler knows a denoiser (any function that estimates x0 from a state), the process and a time grid; not where the
estimate comes from. Randomness is drawn from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.errors import InputError

__all__ = ['SAMPLERS', 'Callback', 'Denoiser', 'Sampler', 'posterior', 'terminal_state', 'time_grid']

Denoiser = Callable[[Tensor, Tensor, int], Tensor]
"""(x_t, mu, t) -> estimate of x0; images (B, C, H, W)."""

Callback = Callable[[int, int, Tensor, Tensor], None]
"""(step from 0, time t of the step, state x_t, clamped estimate of x0) -> None, called once per denoiser call."""

Sampler = Callable[..., Tensor]


def time_grid(T: int, steps: int) -> list[int]:
    """Evenly spaced, strictly decreasing times from T to 0.

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
    return [round(T * (steps - k) / steps) for k in range(steps + 1)]


def standard_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise shaped as ``like``, drawn on the generator's device: the same values whatever the GPU."""
    noise = torch.randn(like.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return noise.to(like.device, like.dtype)


def terminal_state(process: IRSDE, mu: Tensor, generator: torch.Generator) -> Tensor:
    """Draw x_T ~ N(mu, lambda²), where sampling starts (arXiv 2301.11699, section 3)."""
    return mu + process.stationary_std * standard_normal(mu, generator)


def posterior(
    denoiser: Denoiser,
    process: IRSDE,
    mu: Tensor,
    times: Sequence[int],
    *,
    generator: torch.Generator,
    callback: Callback | None = None,
) -> Tensor:
    """Ancestral sampling from the posterior of the next state given x_t and the estimated x0.

    The step of arXiv 2301.11699, eq. 11, with its variance; a grid that skips times uses the exact posterior across
    the gap. Estimates of x0 are clamped to [0, 1]: near t = T they are noise (sigma_bar / a = 39).

    Args:
        denoiser: Estimates x0 from (x_t, mu, t).
        process: The diffusion process.
        mu: Degraded images, (B, C, H, W) in [0, 1].
        times: Strictly decreasing times, the first at most T, the last 0 (see :func:`time_grid`).
        generator: Source of the initial and the injected noise.
        callback: Called after each denoiser call.

    Returns:
        Restored images, shaped as mu, in [0, 1].
    """
    x = terminal_state(process, mu, generator)
    for step, (t, to) in enumerate(pairwise(times)):
        x0 = denoiser(x, mu, t).clamp(0, 1)
        if callback is not None:
            callback(step, t, x, x0)
        x = process.optimal_step(x, x0, mu, t, to)
        if to > 0:
            x = x + process.posterior_std(t, to).to(x.device, x.dtype) * standard_normal(x, generator)
    return x


SAMPLERS: dict[str, Sampler] = {'posterior': posterior}
