"""What a section ``train`` hands to PyTorch's optimisers, to BasicSR's schedulers and to the losses."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import torch

from entropy_sde_plugin.errors import shown, suggestion
from entropy_sde_plugin.options.arguments import check_names, registered
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, OptionError, named_option, parse

__all__ = ['SCHEDULES', 'check_loss', 'check_optimiser', 'check_schedule']

_TRIED_SIDE = 64
"""Pixels: smaller than the usual crops, large enough for what a loss of features or scales needs."""


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
    """Iterations of each period; in all at least ``train.total_iter``."""
    restart_weights: tuple[float, ...] = (1,)
    """Factor of the rate in each period, as many as ``periods``."""
    eta_min: float = 0
    """The rate at the end of a period."""

    def __post_init__(self) -> None:
        _check_lengths('periods', self.periods, self.restart_weights)


def _check_lengths(name: str, restarts: tuple[int, ...], weights: tuple[float, ...]) -> None:
    if len(restarts) != len(weights):
        raise ValueError(f"'{name}' has {len(restarts)} entries and 'restart_weights' {len(weights)}: give as many.")


SCHEDULES: Mapping[str, type[MultiStepSchedule] | type[CosineSchedule]] = {
    'MultiStepLR': MultiStepSchedule,
    'MultiStepRestartLR': MultiStepSchedule,
    'CosineAnnealingRestartLR': CosineSchedule,
}
"""The options of BasicSR's schedulers by their names."""


def check_optimiser(section: Mapping[str, Any]) -> None:
    """Check ``train.optim_g`` against PyTorch's optimisers.

    Raises:
        OptionError: No such optimiser, or not one of its options, or a value that it refuses, or it cannot take a step.
    """
    name, where = str(section.get('type')), 'train.optim_g.type'
    classes: dict[str, Any] = {key: value for key, value in vars(torch.optim).items() if inspect.isclass(value)}
    optimisers = {key: value for key, value in classes.items() if key[0].isupper()}
    if name not in optimisers:
        raise OptionError(f"'{where}': there is no '{name}'. {suggestion(name, optimisers)}", where)
    if 'lr' not in section:
        raise OptionError("Option 'train.optim_g.lr' is missing: add it to the option file.", 'train.optim_g')
    arguments = {key: value for key, value in section.items() if key != 'type'}
    check_names(optimisers[name], arguments, 'train.optim_g', added=('params',))
    _check_numbers(arguments)
    try:
        _take_one_step(optimisers[name], arguments)
    except Exception as error:  # whatever the class itself objects to; e.g. IndexError for one beta
        reason = ' '.join(str(error).split()).rstrip('.')
        option = named_option(reason, arguments, 'train.optim_g')
        raise OptionError(f"Section 'train.optim_g': {reason}.", option) from None


def _take_one_step(optimiser: Any, arguments: Mapping[str, Any]) -> None:
    """Some optimisers, and some values, fail in the first step alone."""
    weight = torch.nn.Parameter(torch.zeros(1, device='cuda' if torch.cuda.is_available() else 'cpu'))
    weight.grad = torch.ones_like(weight)
    optimiser([weight], **arguments).step()


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    """See that numbers are finite, and the learning rate one that is not negative: PyTorch takes infinity for it."""
    rate = arguments['lr']
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < math.inf:
        path = 'train.optim_g.lr'
        raise OptionError(f"Option '{path}': expected a finite number >= 0, but it is {shown(rate)}.", path)
    for key, value in arguments.items():
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            path = f'train.optim_g.{key}'
            raise OptionError(f"Option '{path}' must be finite, but is {shown(value)}.", path)


def check_loss(section: Mapping[str, Any], where: str) -> None:
    """Check what every loss of a training has: a weight, and one value for the batch.

    Raises:
        OptionError: ``loss_weight`` is no number, or ``reduction`` is none; or a loss of BasicSR's cannot be built,
            or does not make one value of two batches of pictures.
    """
    weight = section.get('loss_weight', 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
        path = f'{where}.loss_weight'
        raise OptionError(f"Option '{path}': expected a finite number, but it is {shown(weight)}.", path)
    if section.get('reduction') == 'none':
        path = f'{where}.reduction'
        raise OptionError(f"'{path}' is none, but a training step needs one value: mean or sum.", path)
    loss = registered('loss', section['type'], where)
    if loss.__module__.startswith('basicsr.'):  # what a user's own loss does when it is called is the user's affair
        _call_once(loss, section, where)


def _call_once(loss: Any, section: Mapping[str, Any], where: str) -> None:
    arguments = {key: value for key, value in section.items() if key != 'type'}
    try:
        with torch.random.fork_rng(devices=[]):  # the training draws as if nobody had tried
            truth = torch.rand(1, 3, _TRIED_SIDE, _TRIED_SIDE)
            value = loss(**arguments)(torch.rand_like(truth).requires_grad_(), truth)
    except Exception as error:  # whatever the class itself objects to
        reason = ' '.join(str(error).split()).rstrip('.')
        raise OptionError(
            f"Section '{where}': {section['type']} refuses its options or pictures: {reason}.",
            named_option(reason, arguments, where),
        ) from None
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        path = f'{where}.type'
        raise OptionError(f"'{path}': {section['type']} does not give one value for a batch of pictures.", path)


def check_schedule(section: Mapping[str, Any], total_iter: int) -> None:
    """Check ``train.scheduler`` against BasicSR's schedulers and the training's length.

    Raises:
        OptionError: No such scheduler, not one of its options, or periods that end before the training.
    """
    name, where = str(section.get('type')), 'train.scheduler.type'
    if name not in SCHEDULES:
        raise OptionError(f"'{where}': there is no '{name}'. {suggestion(name, SCHEDULES)}", where)
    schedule = parse(SCHEDULES[name], section, 'train.scheduler')
    if isinstance(schedule, CosineSchedule) and sum(schedule.periods) < total_iter:
        raise OptionError(
            f"'train.scheduler.periods' last {sum(schedule.periods)} iterations and the training {total_iter} "
            '(total_iter): lengthen the periods.',
            'train.scheduler.periods',
        )
