"""IR-SDE, the mean-reverting diffusion process (arXiv 2301.11699).

dx = theta_t (mu - x) dt + sigma_t dw with sigma_t² = 2 lambda² theta_t (eq. 3): a clean image x0 drifts towards the
degraded image mu, while noise of stationary standard deviation lambda builds up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.process import CLEAN, GaussianProcess, Time, TimeGrid
from entropy_sde_plugin.diffusion.schedules import thetas
from entropy_sde_plugin.errors import InputError

__all__ = ['IRSDE']

GRID_POWER = 1.5


class IRSDE(GaussianProcess):
    """Mean-reverting diffusion between a clean image x0 and a degraded image mu, both in [0, 1].

    The condition is mu, which is also the mean that the process reverts to. The noisy states are 1…T; t = 0 is the
    clean image.

    Args:
        max_sigma: Stationary standard deviation lambda in 8-bit units (50 means 50/255). Above 0.
        T: Number of diffusion steps, at least 1.
        schedule: ``'cosine'``, ``'linear'`` or ``'constant'`` (see :mod:`.schedules`).
        eps: Share of x0 - mu that is left at t = T, between 0 and 1.

    Attributes:
        thetas, sigmas, thetas_cumsum: float64 tensors of shape (T + 1,), indexed by t.
        decays: Share of x0 - mu that is left at t, a_t = exp(-thetas_cumsum[t] · dt); shaped as above.
        stds: Standard deviation of the noise at t, sigma_bar_t (eq. 6); shaped as above.
        dt: Length of one step, so that exp(-thetas_cumsum[T] · dt) = eps.
        stationary_std: lambda, in image units.

    Raises:
        InputError: A setting outside its range.

    Example:
        >>> process = IRSDE()
        >>> dark, bright = torch.full((1, 3, 8, 8), 0.1), torch.full((1, 3, 8, 8), 0.7)
        >>> mean, std = process.marginal(bright, dark, t=100)
        >>> round(mean.mean().item(), 3), round(std.item() * 255, 1)
        (0.103, 50.0)
    """

    image_range = (0.0, 1.0)

    def __init__(self, max_sigma: float = 50, T: int = 100, schedule: str = 'cosine', eps: float = 0.005) -> None:
        if not max_sigma > 0:
            raise InputError(f'sde.max_sigma must be above 0 (8-bit units), got {max_sigma}.')
        if T < 1:
            raise InputError(f'sde.T must be at least 1, got {T}.')
        if not 0 < eps < 1:
            raise InputError(f'sde.eps must lie between 0 and 1, got {eps}.')
        self.T = T
        self.times = range(1, T + 1)
        self.stationary_std = max_sigma / 255
        self.thetas = thetas(schedule, T)
        self.thetas_cumsum = torch.cumsum(self.thetas, 0) - self.thetas[0]
        self.dt = -math.log(eps) / self.thetas_cumsum[-1].item()
        self.sigmas = self.stationary_std * torch.sqrt(2 * self.thetas)
        self.stds = self.stationary_std * torch.sqrt(-torch.expm1(-2 * self.thetas_cumsum * self.dt))
        self.decays = torch.exp(-self.thetas_cumsum * self.dt)

    def mean(self, cond: Tensor) -> Tensor:
        return cond

    def time_grid(self, steps: int) -> TimeGrid:
        """Return strictly decreasing times, denser towards the clean image: T (1 - k / steps)^1.5, rounded.

        Near T the state holds little of x0, so few steps suffice there. With ``steps`` = T every state is visited.

        Args:
            steps: Number of network calls, 1…T.

        Returns:
            ``steps`` times, the first T, and :data:`CLEAN`.

        Raises:
            InputError: ``steps`` outside 1…T.

        Example:
            >>> IRSDE().time_grid(4)
            [100, 65, 35, 12, CLEAN]
        """
        self.check_steps(steps)
        # Each of the remaining steps needs a time of its own.
        times = [max(round(self.T * (1 - k / steps) ** GRID_POWER), steps - k) for k in range(steps)]
        return [*times, CLEAN]

    def elapsed(self, t: int, to: int) -> float:
        """Return the integral of theta over a step, above 0."""
        return (self.thetas_cumsum[t] - self.thetas_cumsum[to]).item() * self.dt

    def reverse_sde_mean(self, xt: Tensor, mu: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Return the mean of x_{t-1} under one Euler step of the reverse SDE (eq. 5).

        Written as x - theta dt (mu - x) - (sigma² dt / sigma_bar) noise, the predicted score being -noise / sigma_bar.
        """
        t = self._check(t)
        drift, gain = self._on(xt, self.thetas[t] * self.dt, self.sigmas[t] ** 2 * self.dt / self.stds[t])
        return xt - drift * (mu - xt) - gain * noise

    def optimal_step(self, xt: Tensor, x0: Tensor, mu: Tensor, t: Time) -> Tensor:
        """Return the most likely x_{t-1} given x_t and x0: the mean of the posterior (eq. 11); x0 itself at t = 1."""
        t = self._check(t)
        return self.posterior_mean(xt, x0, mu, t, t - 1)

    @property
    def _earliest_arrival(self) -> int:
        return 0  # the clean image

    def _posterior(self, t: Tensor, to: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """As in the base class, with 1 - A², 1 - B² and 1 - C² (eq. 11) written so that they do not cancel."""
        to = torch.zeros(1, dtype=torch.int64) if to is None else to
        elapsed = (self.thetas_cumsum[t] - self.thetas_cumsum[to]) * self.dt
        spans = (elapsed, self.thetas_cumsum[t] * self.dt, self.thetas_cumsum[to] * self.dt)
        A2, B2, C2 = (-torch.expm1(-2 * span) for span in spans)
        towards_xt, towards_x0 = torch.exp(-elapsed) * C2 / B2, self.decays[to] * A2 / B2
        return towards_xt, towards_x0, self.stationary_std * torch.sqrt(A2 * C2 / B2)
