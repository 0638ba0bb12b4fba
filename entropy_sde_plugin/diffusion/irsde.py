"""The mean-reverting SDE of IR-SDE: its moments, its reverse step and the optimal one.

dx = theta_t (mu - x) dt + sigma_t dw with sigma_t² = 2 lambda² theta_t (arXiv 2301.11699, eq. 3): a clean image x0 at
t = 0 drifts towards the degraded image mu while noise of stationary standard deviation lambda builds up.

The process holds no image and no network. Everything that depends on t alone is computed in float64 on the CPU and
handed to the images' dtype and device as a handful of scalars, because 1 - a² cancels near t = 0 and 1 / a reaches 200
at t = T.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.schedules import thetas
from entropy_sde_plugin.errors import InputError

__all__ = ['IRSDE']

Time = int | Tensor


class IRSDE:
    """Mean-reverting diffusion between a clean image x0 and a degraded image mu.

    Images are (B, C, H, W) in [0, 1], of any floating dtype and device. A time is an ``int`` or an integer tensor of B
    values (any shape), one per image, or of one value for all, each in 1…T; t = 0 is the clean image. Another time, or
    another number of them, is an ``InputError``.

    Args:
        max_sigma: Stationary standard deviation lambda in 8-bit units (50 means 50/255). Above 0.
        T: Number of diffusion steps, at least 1.
        schedule: ``'cosine'``, ``'linear'`` or ``'constant'`` (see :mod:`.schedules`).
        eps: What is left of x0 - mu at t = T, between 0 and 1.

    Attributes:
        thetas, sigmas, thetas_cumsum, sigma_bars: float64 tensors of shape (T + 1,), indexed by t.
        decays: What is left of x0 - mu at t, a_t = exp(-thetas_cumsum[t] · dt); as the others.
        dt: Length of one step, so that exp(-thetas_cumsum[T] · dt) = eps.
        stationary_std: lambda, in image units.

    Raises:
        InputError: A setting outside its range.
    """

    def __init__(self, max_sigma: float = 50, T: int = 100, schedule: str = 'cosine', eps: float = 0.005) -> None:
        if not max_sigma > 0:
            raise InputError(f'sde.max_sigma must be above 0 (8-bit units), got {max_sigma}.')
        if T < 1:
            raise InputError(f'sde.T must be at least 1, got {T}.')
        if not 0 < eps < 1:
            raise InputError(f'sde.eps must lie between 0 and 1, got {eps}.')
        self.T = T
        self.stationary_std = max_sigma / 255
        self.thetas = thetas(schedule, T)
        self.thetas_cumsum = torch.cumsum(self.thetas, 0) - self.thetas[0]
        self.dt = -math.log(eps) / self.thetas_cumsum[-1].item()
        self.sigmas = self.stationary_std * torch.sqrt(2 * self.thetas)
        self.sigma_bars = self.stationary_std * torch.sqrt(-torch.expm1(-2 * self.thetas_cumsum * self.dt))
        self.decays = torch.exp(-self.thetas_cumsum * self.dt)

    def marginal(self, x0: Tensor, mu: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of x_t given x0 (arXiv 2301.11699, eq. 6).

        Returns:
            The mean, shaped as x0, and the standard deviation, shaped (B, 1, 1, 1) or (1, 1, 1, 1) for an int.
        """
        t = self._check(t)
        decay, std = self._on(x0, self.decays[t], self.sigma_bars[t])
        return mu + (x0 - mu) * decay, std

    def x0_from_noise(self, xt: Tensor, mu: Tensor, noise: Tensor, t: Time) -> Tensor:
        """The clean image that ``noise`` implies at x_t: the marginal solved for x0."""
        t = self._check(t)
        decay, std = self._on(xt, self.decays[t], self.sigma_bars[t])
        return mu + (xt - mu - std * noise) / decay

    def noise_from_x0(self, xt: Tensor, mu: Tensor, x0: Tensor, t: Time) -> Tensor:
        """The noise that ``x0`` implies at x_t: the marginal solved for the noise."""
        t = self._check(t)
        decay, std = self._on(xt, self.decays[t], self.sigma_bars[t])
        return (xt - mu - decay * (x0 - mu)) / std

    def score(self, noise: Tensor, t: Time) -> Tensor:
        """Gradient of the log density of x_t, from the noise that made it: -noise / sigma_bar_t."""
        (std,) = self._on(noise, self.sigma_bars[self._check(t)])
        return -noise / std

    def reverse_sde_mean(self, xt: Tensor, mu: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Mean of x_{t-1} under one Euler step of the reverse SDE (arXiv 2301.11699, eq. 5).

        Written as x - theta dt (mu - x) - (sigma² dt / sigma_bar) noise, the predicted score being -noise / sigma_bar.
        """
        t = self._check(t)
        drift, gain = self._on(xt, self.thetas[t] * self.dt, self.sigmas[t] ** 2 * self.dt / self.sigma_bars[t])
        return xt - drift * (mu - xt) - gain * noise

    def optimal_step(self, xt: Tensor, x0: Tensor, mu: Tensor, t: Time, to: Time | None = None) -> Tensor:
        """Most likely state at ``to`` given x_t and x0: the mean of the posterior (arXiv 2301.11699, eq. 11).

        Args:
            to: The time of arrival, below t; t - 1 if not given. 0 is allowed and returns x0 itself.
        """
        t = self._check(t)
        to = self._arrival(t, to)
        A2, B2, C2 = self._variances(t, to)
        towards_xt = torch.exp(-self._elapsed(t, to)) * C2 / B2
        towards_x0 = self.decays[to] * A2 / B2
        towards_xt, towards_x0 = self._on(xt, towards_xt, towards_x0)
        return mu + towards_xt * (xt - mu) + towards_x0 * (x0 - mu)

    def posterior_std(self, t: Time, to: Time | None = None) -> Tensor:
        """Standard deviation of the state at ``to`` given x_t and x0, float64, (B, 1, 1, 1) or (1, 1, 1, 1)."""
        t = self._check(t)
        A2, B2, C2 = self._variances(t, self._arrival(t, to))
        return (self.stationary_std * torch.sqrt(A2 * C2 / B2)).view(-1, 1, 1, 1)

    def _check(self, t: Time) -> Tensor:
        try:
            times = torch.as_tensor(t, device='cpu').reshape(-1)
        except (RuntimeError, TypeError, ValueError):  # no number, or one too large for any tensor
            raise InputError(f'Diffusion times are integers in 1…{self.T}, got {t!r}.') from None
        if times.is_floating_point() or times.is_complex() or times.dtype == torch.bool:
            raise InputError(f'A diffusion time is an integer, got {times.dtype}.')
        if times.numel() == 0 or times.min() < 1 or times.max() > self.T:
            raise InputError(f'Diffusion times lie in 1…{self.T}, got {times.tolist()}.')
        return times

    def _arrival(self, t: Tensor, to: Time | None) -> Tensor:
        if to is None:
            return t - 1
        arrival = torch.as_tensor(to, device='cpu').reshape(-1)
        if arrival.numel() not in (1, t.numel()) and t.numel() != 1:
            raise InputError(f'{t.numel()} diffusion times take one time of arrival, or one each: {arrival.numel()}.')
        if (arrival < 0).any() or (arrival >= t).any():
            raise InputError(f'A step from t = {t.tolist()} arrives between 0 and t - 1, got {arrival.tolist()}.')
        return arrival

    def _elapsed(self, t: Tensor, to: Tensor) -> Tensor:
        return (self.thetas_cumsum[t] - self.thetas_cumsum[to]) * self.dt

    def _variances(self, t: Tensor, to: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 - A², 1 - B² and 1 - C² of the posterior, without the cancellation of writing them so."""
        elapsed = (self._elapsed(t, to), self.thetas_cumsum[t] * self.dt, self.thetas_cumsum[to] * self.dt)
        A2, B2, C2 = (-torch.expm1(-2 * span) for span in elapsed)
        return A2, B2, C2

    @staticmethod
    def _on(image: Tensor, *coefficients: Tensor) -> list[Tensor]:
        for value in coefficients:
            if value.numel() not in (1, image.shape[0]):
                raise InputError(
                    f'A batch of {image.shape[0]} images takes one diffusion time, or one each, got {value.numel()}.'
                )
        return [value.to(image.device, image.dtype).view(-1, 1, 1, 1) for value in coefficients]
