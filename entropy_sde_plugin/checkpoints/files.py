"""Checkpoint files: written completely or not at all, checked, and deleted when old."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from entropy_sde_plugin.errors import first_line
from entropy_sde_plugin.utils.atomic_file import WriteError, atomic_file
from entropy_sde_plugin.utils.paths import opens_as_utf8

__all__ = [
    'CheckpointError',
    'damage',
    'fingerprint',
    'is_whole',
    'keep_last',
    'load',
    'save',
    'save_networks',
    'save_training_state',
]


class CheckpointError(WriteError):
    """A checkpoint could not be written."""


def load(path: Path, *, mapped: bool = False) -> Any:
    """Load tensors and plain containers from a checkpoint onto the CPU; no code in it is run.

    Args:
        path: The file.
        mapped: Leave the tensors on the disk. Without effect where the path is not UTF-8: torch's reader in C++ does
            not open such a file by its name.

    Raises:
        Exception: The errors for a damaged file have no common type.
    """
    return torch.load(path, map_location='cpu', weights_only=True, mmap=mapped and opens_as_utf8(path))


def save(content: Any, path: str | Path) -> None:
    """Save with ``torch.save``, replacing ``path`` completely or not at all.

    Args:
        content: Anything that ``torch.save`` accepts.
        path: The file to create or replace; its folder exists.

    Raises:
        CheckpointError: It could not be written; the message names ``path``, and the old file is kept.
    """
    try:
        with atomic_file(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch's archive writer turns a failed write into a RuntimeError
        raise CheckpointError(
            f"'{path}' could not be saved: {_reason(error)}. Earlier checkpoints are unchanged: free some space or "
            'check the permissions, and continue with --auto_resume.'
        ) from error


def _reason(error: BaseException) -> str:
    """Return the system's error message, without what torch's archive writer adds to it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    return first_line(error)


def save_networks(
    folder: str | Path, label: str, iteration: int, networks: Mapping[str, nn.Module], **entries: Any
) -> None:
    """Save networks in BasicSR's format, as ``<folder>/<label>_<iteration or 'latest'>.pth``.

    Args:
        folder: The experiment's ``models`` folder.
        label: Name of the network, e.g. ``net_g``.
        iteration: Current iteration; -1 for the latest.
        networks: Parameter key, e.g. ``params_ema``, to the bare network.
        entries: Further entries of the checkpoint.

    Raises:
        CheckpointError: It could not be written.
    """
    content: dict[str, Any] = dict(entries)
    for key, network in networks.items():
        state = network.state_dict()
        content[key] = {name.removeprefix('module.'): value.cpu() for name, value in state.items()}
    save(content, Path(folder) / f'{label}_{"latest" if iteration == -1 else iteration}.pth')


def save_training_state(
    folder: str | Path, epoch: int, iteration: int, optimizers: Iterable[Any], schedulers: Iterable[Any], **entries: Any
) -> None:
    """Save a training state in BasicSR's format, as ``<folder>/<iteration>.state``.

    Args:
        folder: The experiment's ``training_states`` folder.
        epoch: Current epoch.
        iteration: Current iteration.
        optimizers: Their states are saved, in this order.
        schedulers: Likewise.
        entries: Further entries of the state.

    Raises:
        CheckpointError: It could not be written.
    """
    content: dict[str, Any] = {
        'epoch': epoch,
        'iter': iteration,
        'optimizers': [optimizer.state_dict() for optimizer in optimizers],
        'schedulers': [scheduler.state_dict() for scheduler in schedulers],
    }
    save(content | entries, Path(folder) / f'{iteration}.state')


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint file exists and is not truncated: the archive's table of contents is at its end."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # caused by flipped bits at the end
        return False


def damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint file: ``'is missing'``, ``'is a folder'``, ``'is truncated'``,
    ``'is damaged (…)'``, or None.

    Every byte is read, since ``torch.load`` does not verify the checksums of the tensors.
    """
    if path.is_dir():
        return 'is a folder'
    if not path.is_file():
        return 'is missing'
    if not is_whole(path):
        return 'is truncated'
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        load(path, mapped=True)  # its own reader is stricter than Python's
    except Exception as error:
        return f'is damaged ({" ".join(str(error).split())[:100] or type(error).__name__})'
    return None if broken is None else f'is damaged (at {broken})'


def fingerprint(path: Path) -> str:
    """Return a hash of the names, sizes and checksums in a checkpoint's archive; the tensors are not read."""
    with zipfile.ZipFile(path) as archive:
        entries = sorted((entry.filename, entry.CRC, entry.file_size) for entry in archive.infolist())
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def keep_last(count: int, iteration: int, models: str | Path, states: str | Path, label: str) -> None:
    """Delete the checkpoints older than the last ``count`` complete ones up to ``iteration``, which was just saved.

    Later ones, left by a training that was resumed from an earlier state, and ``latest`` are kept. A checkpoint is the
    pair ``<models>/<label>_<iteration>.pth`` and ``<states>/<iteration>.state``. Incomplete pairs are not counted, and
    are deleted when they are old enough.

    Args:
        count: Number of pairs to keep, at least 1.
        iteration: Iteration of the last pair to consider.
        models: The experiment's ``models`` folder.
        states: Its ``training_states`` folder.
        label: Name of the network, e.g. ``net_g``.
    """
    networks = _by_iteration(Path(models), f'{label}_', '.pth')
    resumable = _by_iteration(Path(states), '', '.state')
    pairs = sorted((n for n in networks.keys() & resumable.keys() if n <= iteration), reverse=True)
    complete = [n for n in pairs if is_whole(networks[n]) and is_whole(resumable[n])]
    oldest_kept = complete[count - 1] if len(complete) >= count else 0
    # States first: a kill in between then leaves weights without a state, never a state without its weights.
    for files in (resumable, networks):
        for number, path in files.items():
            if number < oldest_kept:
                path.unlink(missing_ok=True)


def _by_iteration(folder: Path, prefix: str, suffix: str) -> dict[int, Path]:
    numbered = {path: path.name.removeprefix(prefix).removesuffix(suffix) for path in folder.glob(f'{prefix}*{suffix}')}
    return {int(number): path for path, number in numbered.items() if number.isdecimal()}
