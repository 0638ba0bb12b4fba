"""Optimiser and learning rate: the sections ``train.optim_g`` and ``train.scheduler``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import msgspec
import torch

from entropy_sde_plugin.errors import InputError, dotted, quoted, suggestion
from entropy_sde_plugin.options.arguments import arguments_of, check_names, culprit
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, parse

__all__ = ['SCHEDULES', 'check_optimiser', 'check_schedule', 'optimisers']


class MultiStepSchedule(msgspec.Struct, frozen=True):
    """``train.scheduler`` of type ``MultiStepLR`` or ``MultiStepRestartLR``: the rate falls in steps."""

    type: Literal['MultiStepLR', 'MultiStepRestartLR']
    """The schedule."""
    milestones: tuple[NotNegative, ...]
    """Iterations at which the rate is multiplied by ``gamma``."""
    gamma: float = 0.1
    """Factor of the rate at a milestone."""
    restarts: tuple[NotNegative, ...] = (0,)
    """Iterations at which the rate starts again."""
    restart_weights: tuple[float, ...] = (1,)
    """Factor of the rate after each restart, as many as ``restarts``."""

    def __post_init__(self) -> None:
        _check_lengths('restarts', self.restarts, self.restart_weights)


class CosineSchedule(msgspec.Struct, frozen=True):
    """``train.scheduler`` of type ``CosineAnnealingRestartLR``: the rate falls along half a cosine in each period."""

    type: Literal['CosineAnnealingRestartLR']
    """The schedule."""
    periods: tuple[AtLeastOne, ...]
    """Iterations of each period; their sum must be at least ``train.total_iter``."""
    restart_weights: tuple[float, ...] = (1,)
    """Factor of the rate in each period, as many as ``periods``."""
    eta_min: float = 0
    """The rate at the end of a period."""

    def __post_init__(self) -> None:
        _check_lengths('periods', self.periods, self.restart_weights)


def _check_lengths(name: str, restarts: tuple[int, ...], weights: tuple[float, ...]) -> None:
    if len(restarts) != len(weights):
        message = f"'{name}' has {len(restarts)} entries but 'restart_weights' has {len(weights)}: they must match."
        raise InputError(message, option=name)


SCHEDULES: Mapping[str, type[MultiStepSchedule] | type[CosineSchedule]] = {
    'MultiStepLR': MultiStepSchedule,
    'MultiStepRestartLR': MultiStepSchedule,
    'CosineAnnealingRestartLR': CosineSchedule,
}
"""The options of BasicSR's schedulers by their names."""


def optimisers() -> dict[str, type[torch.optim.Optimizer]]:
    """Return PyTorch's optimisers by their names."""
    kinds = [kind for kind in vars(torch.optim).values() if inspect.isclass(kind)]
    return {
        kind.__name__: kind
        for kind in kinds
        if issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }


def check_optimiser(section: Mapping[str, Any]) -> None:
    """Check ``train.optim_g`` against PyTorch's optimisers.

    Raises:
        InputError: Unknown optimiser, unknown option, a value that it rejects, or it cannot take a step.
    """
    name, where, known = str(section.get('type')), 'train.optim_g', optimisers()
    if name not in known:
        raise InputError(f"'{where}.type': there is no '{name}'. {suggestion(name, known)}", f'{where}.type')
    if 'lr' not in section:
        raise InputError(f"Option '{where}.lr' is missing: add it to the option file.", where)
    arguments = arguments_of(section)
    check_names(known[name], arguments, where, added=('params',))
    _check_numbers(arguments)
    take_one_step = partial(_take_one_step, known[name])
    try:
        take_one_step(**arguments)
    except Exception as error:  # of any kind, e.g. IndexError for a single beta
        reason = ' '.join(str(error).split()).rstrip('.')
        raise InputError(f"Section '{where}': {reason}.", dotted(where, culprit(take_one_step, arguments))) from None


def _take_one_step(optimiser: Any, **arguments: Any) -> None:
    """Take one step: some optimisers, and some values, fail only then."""
    weight = torch.nn.Parameter(torch.zeros(1, device='cuda' if torch.cuda.is_available() else 'cpu'))
    weight.grad = torch.ones_like(weight)
    optimiser([weight], **arguments).step()


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    """Check that numbers are finite and that the learning rate is at least 0: PyTorch accepts infinity."""
    rate = arguments['lr']
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < math.inf:
        path = 'train.optim_g.lr'
        raise InputError(f"Option '{path}': expected a finite number >= 0, but it is {quoted(rate)}.", path)
    for key, value in arguments.items():
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            path = f'train.optim_g.{key}'
            raise InputError(f"Option '{path}' must be finite, but is {quoted(value)}.", path)


def check_schedule(section: Mapping[str, Any], total_iter: int) -> None:
    """Check ``train.scheduler`` against BasicSR's schedulers and the training's length.

    Raises:
        InputError: Unknown scheduler, unknown option, or periods that end before the training.
    """
    name, where = str(section.get('type')), 'train.scheduler.type'
    if name not in SCHEDULES:
        raise InputError(f"'{where}': there is no '{name}'. {suggestion(name, SCHEDULES)}", where)
    schedule = parse(SCHEDULES[name], section, 'train.scheduler')
    if isinstance(schedule, CosineSchedule) and sum(schedule.periods) < total_iter:
        raise InputError(
            f"'train.scheduler.periods' cover {sum(schedule.periods)} iterations, but the training has {total_iter} "
            '(total_iter): lengthen the periods.',
            'train.scheduler.periods',
        )
