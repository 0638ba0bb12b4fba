"""The content of a training state: BasicSR's entries, and those of a :class:`~entropy_sde_plugin.training.run.Run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from entropy_sde_plugin.utils.schema import NotNegative

__all__ = ['RunEntries', 'TrainingState', 'fault']


class RunEntries(msgspec.Struct):
    """The entry ``run``: what a training needs to resume besides its model."""

    epoch_size: NotNegative
    """Images per epoch, over all processes; with the epoch's number it determines the order."""
    batch: NotNegative
    """Images per step, over all processes."""
    drawn: NotNegative
    """Number of the epoch's images drawn so far."""
    generators: list[dict[str, Any]]
    """The global generators' states (:mod:`entropy_sde_plugin.utils.random_state`), one for each process."""
    best_metric_results: dict[str, dict[str, dict[str, Any]]]
    """As in BasicSR's models: for each dataset and metric ``better``, ``val`` and ``iter``."""
    validation_due: bool
    """Whether the iteration's validation was still to come when the state was saved."""
    manual_seed: int | None = None
    """The run's seed, given or drawn."""
    train_options: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """The section ``train`` of the training (:mod:`~entropy_sde_plugin.training.resumed_options`)."""


class TrainingState(msgspec.Struct):
    """A training state; models may add entries. A state that BasicSR saved without this plugin has the first four."""

    epoch: NotNegative
    """Epoch of the iteration."""
    iter: NotNegative
    """The last iteration."""
    optimizers: list[dict[str, Any]]
    """The optimisers' states."""
    schedulers: list[dict[str, Any]]
    """The schedulers'."""
    networks: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Files of the networks saved with it, each with its fingerprint
    (:func:`entropy_sde_plugin.checkpoints.files.fingerprint`).
    """
    run: RunEntries | msgspec.UnsetType = msgspec.UNSET
    """The entries of :meth:`entropy_sde_plugin.training.run.Run.entries`."""


def fault(content: Any, path: Path) -> str | None:
    """Return why a file does not hold the training state of the iteration in its name; None if it does.

    Args:
        content: The file's content.
        path: The file; if its name is a number, that is the iteration.
    """
    try:
        state = msgspec.convert(content, TrainingState)
    except msgspec.ValidationError as error:
        reason = str(error).replace('Object missing required field', 'it lacks')
        return f'is not a training state ({reason.replace("`", "").replace("$.", "")})'
    if path.stem.isdecimal() and int(path.stem) != state.iter:
        return f'holds the state of iteration {state.iter}, which is not that of its name'
    return None
