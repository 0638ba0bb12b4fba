"""Schedules: the mean-reversion speed theta of IR-SDE (arXiv 2301.11699, section 4), and the betas of DDPM."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError, suggestion

__all__ = ['SCHEDULES', 'linear_betas', 'thetas']


def _cosine(T: int) -> Tensor:
    grid = torch.arange(T + 2, dtype=torch.float64) / (T + 2)
    curve = torch.cos((grid + 0.008) / 1.008 * math.pi / 2) ** 2
    return 1 - curve[1:] / curve[0]


def _linear(T: int) -> Tensor:
    scale = 1000 / (T + 1)
    return torch.linspace(scale * 0.0001, scale * 0.02, T + 1, dtype=torch.float64)


def _constant(T: int) -> Tensor:
    return torch.ones(T + 1, dtype=torch.float64)


SCHEDULES: dict[str, Callable[[int], Tensor]] = {'cosine': _cosine, 'linear': _linear, 'constant': _constant}


def thetas(schedule: str, T: int) -> Tensor:
    """Return the speeds of mean reversion, indexed by the state t = 0…T.

    Args:
        schedule: ``'cosine'``, ``'linear'`` or ``'constant'``.
        T: Number of diffusion steps, at least 1.

    Returns:
        float64 tensor of shape (T + 1,), on the CPU.

    Raises:
        InputError: Unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise InputError(f"sde.schedule: there is no schedule '{schedule}'. {suggestion(schedule, SCHEDULES)}")
    return SCHEDULES[schedule](T)


def linear_betas(T: int, start: float, end: float) -> Tensor:
    """Return the variances that DDPM adds at t = 0…T - 1 (arXiv 2006.11239, section 4).

    Args:
        T: Number of noisy states, at least 1.
        start: The first variance, in (0, 1).
        end: The last variance, in (0, 1).

    Returns:
        float64 tensor of shape (T,), on the CPU.
    """
    return torch.linspace(start, end, T, dtype=torch.float64)
