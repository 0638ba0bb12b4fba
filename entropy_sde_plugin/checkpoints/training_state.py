"""What a training state holds: BasicSR's entries, and those of a :class:`~entropy_sde_plugin.training.run.Run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from entropy_sde_plugin.utils.schema import NotNegative

__all__ = ['RunEntries', 'TrainingState', 'fault']


class RunEntries(msgspec.Struct):
    """The entry ``run``: what a training resumes from beside its model."""

    epoch_size: NotNegative
    """Pictures of an epoch, over all processes: with the epoch's number, its order."""
    batch: NotNegative
    """Pictures of a step, over all processes."""
    drawn: NotNegative
    """How many of the epoch's images are drawn."""
    generators: list[dict[str, Any]]
    """The global generators' states (:mod:`entropy_sde_plugin.utils.random_state`), one for each process."""
    best_metric_results: dict[str, dict[str, dict[str, Any]]]
    """As BasicSR's models hold them: dataset, metric, and its ``better``, ``val`` and ``iter``."""
    validation_due: bool
    """Whether the iteration ends with a validation that came after the state was saved."""
    manual_seed: int | None = None
    """The run's seed, given or drawn."""
    train_options: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """The section ``train`` that the training went by (:mod:`~entropy_sde_plugin.training.resumed_options`)."""


class TrainingState(msgspec.Struct):
    """A state as a whole; models may add to it. One of BasicSR's own has the first four entries."""

    epoch: NotNegative
    """In which the iteration was."""
    iter: NotNegative
    """The last iteration."""
    optimizers: list[dict[str, Any]]
    """The optimisers' states."""
    schedulers: list[dict[str, Any]]
    """The schedulers'."""
    networks: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """Files of the networks saved before it, each with its fingerprint
    (:func:`entropy_sde_plugin.checkpoints.files.fingerprint`).
    """
    run: RunEntries | msgspec.UnsetType = msgspec.UNSET
    """What :meth:`entropy_sde_plugin.training.run.Run.entries` adds."""


def fault(content: Any, path: Path) -> str | None:
    """Say why the content of a file is not the training state that its name promises; None where it is.

    Args:
        content: What the file holds.
        path: The file; a number is that of the iteration.
    """
    try:
        state = msgspec.convert(content, TrainingState)
    except msgspec.ValidationError as error:
        reason = str(error).replace('Object missing required field', 'it lacks')
        return f'is no training state ({reason.replace("`", "").replace("$.", "")})'
    if path.stem.isdecimal() and int(path.stem) != state.iter:
        return f'is the state of iteration {state.iter}, whatever its name says'
    return None
