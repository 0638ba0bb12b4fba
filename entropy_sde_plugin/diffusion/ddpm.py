"""DDPM, the variance-preserving diffusion process to pure noise (arXiv 2006.11239)."""

from __future__ import annotations

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion.process import CLEAN, GaussianProcess, TimeGrid
from entropy_sde_plugin.diffusion.schedules import linear_betas
from entropy_sde_plugin.errors import InputError

__all__ = ['DDPM']


class DDPM(GaussianProcess):
    """Diffusion from images in [-1, 1] to N(0, 1), with linear betas: x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise.

    The noisy states are 0…T - 1; the state at 0 already holds noise. The process does not depend on the condition.

    Args:
        T: Number of noisy states, at least 1.
        beta_start: Variance that the first step adds, above 0.
        beta_end: Variance that the last step adds, below 1.

    Attributes:
        abars: Products of 1 - beta, float64 of shape (T,), computed in float32 as in the released code.

    Raises:
        InputError: A setting outside its range.

    Example:
        >>> process = DDPM()
        >>> level = process.level(500)
        >>> round(level.decay**2, 5), round(level.decay**2 + level.std**2, 5)
        (0.0778, 1.0)
    """

    image_range = (-1.0, 1.0)
    stationary_std = 1.0

    def __init__(self, T: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> None:
        if T < 1:
            raise InputError(f'T of a DDPM must be at least 1, got {T}.')
        if not 0 < beta_start <= beta_end < 1:
            raise InputError(f'0 < beta_start <= beta_end < 1 must hold, got {beta_start} and {beta_end}.')
        self.T = T
        self.times = range(T)
        self.abars = torch.cumprod(1 - linear_betas(T, beta_start, beta_end).float(), 0).double()
        self.decays = self.abars.sqrt()
        self.stds = (1 - self.abars).sqrt()

    def mean(self, cond: Tensor) -> Tensor:
        return cond.new_zeros(())

    def time_grid(self, steps: int) -> TimeGrid:
        """Return equally spaced times down to 0, as in the released code: floor(k T / steps) for k = steps - 1…0.

        Args:
            steps: Number of network calls, 1…T.

        Returns:
            ``steps`` strictly decreasing times, the last of them 0, and :data:`CLEAN`.

        Raises:
            InputError: ``steps`` outside 1…T.

        Example:
            >>> DDPM().time_grid(4)
            [750, 500, 250, 0, CLEAN]
        """
        self.check_steps(steps)
        return [*(k * self.T // steps for k in reversed(range(steps))), CLEAN]
