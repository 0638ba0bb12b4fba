"""Saving a training that fails: how far its step has come, and the hook that saves before the error is reported."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from entropy_sde_plugin.errors import DivergedError, first_line
from entropy_sde_plugin.utils import random_state, signals
from entropy_sde_plugin.utils.atomic_file import WriteError
from entropy_sde_plugin.utils.distributed import process_info

__all__ = ['SaveOnError', 'StepWatch']


class StepWatch:
    """Tracks the progress of a model's step, and can undo a step that has not changed the weights yet.

    Args:
        model: A BasicSR model; watched from here on.
        finished: The iteration that its weights are of.
    """

    def __init__(self, model: Any, finished: int) -> None:
        self.model = model
        self._begun = self._finished = finished
        self._changing = False
        self._before: list[Callable[[], None]] = []
        optimize_parameters = model.optimize_parameters

        def watched(current_iter: int) -> None:
            optimize_parameters(current_iter)
            self._finished, self._changing = current_iter, False

        model.optimize_parameters = watched
        for optimizer in model.optimizers:
            optimizer.register_step_pre_hook(self._note_change)

    def begin(self, current_iter: int) -> None:
        """Record the state before an iteration."""
        self._begun, self._finished, self._changing = current_iter, current_iter - 1, False
        # A step skipped for a loss that is not finite has changed the training step's scale and count.
        stepping = [self.model.training_step] if hasattr(self.model, 'training_step') else []
        self._before = [_restorer(stateful) for stateful in [*self.model.schedulers, *stepping]]
        self._before += [_rates_restorer(optimizer) for optimizer in self.model.optimizers]
        self._before += [_buffer_restorer(buffer) for network in self._networks() for buffer in network.buffers()]
        states = random_state.get_state()
        self._before.append(lambda: random_state.set_state(states))

    def rewind(self) -> int | None:
        """Restore the last complete iteration; return its number, or None if weights are partly changed."""
        if self._changing:
            return None
        if self._finished < self._begun:
            for restore in self._before:
                restore()
        return self._finished

    def weights_are_finite(self) -> bool:
        """Return whether all weights of the model's networks are finite."""
        return all(bool(torch.isfinite(p).all()) for network in self._networks() for p in network.parameters())

    def _networks(self) -> list[nn.Module]:
        return [value for value in vars(self.model).values() if isinstance(value, nn.Module)]

    def _note_change(self, *_: Any) -> None:
        self._changing = True


def _restorer(stateful: Any) -> Callable[[], None]:
    state = copy.deepcopy(stateful.state_dict())
    return lambda: stateful.load_state_dict(state)


def _rates_restorer(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    rates = [group['lr'] for group in optimizer.param_groups]

    def restore() -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group['lr'] = rate

    return restore


def _buffer_restorer(buffer: Tensor) -> Callable[[], None]:
    value = buffer.clone()

    def restore() -> None:
        buffer.copy_(value)

    return restore


class SaveOnError:
    """An excepthook that saves a training before the error that ends it is reported.

    Only in the process that created it, and only in the first of a run: the others may have died, so that no collective
    operation is safe.

    Args:
        report: The hook that reports the error.
        save: Saves the last complete iteration, and returns what was done as text.
    """

    def __init__(self, report: Callable[..., None], save: Callable[[], str]) -> None:
        self._report = report
        self._save = save
        self._owner = os.getpid()

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() == self._owner:
            signals.expect_children_to_end()
            # A failed write is not repeated; Ctrl-C before the first step has nothing to save.
            if isinstance(error, Exception) and not isinstance(error, (WriteError, DivergedError)):
                self._save_in_first_process()
        self._report(kind, error, trace)

    def _save_in_first_process(self) -> None:
        if process_info()[0] != 0:
            return
        try:
            outcome = self._save()
        except Exception as failure:
            outcome = f'nothing could be saved ({first_line(failure)})'
        get_root_logger().error(f'The training fails: {outcome}.')
        sys.stderr.flush()
