"""Checkpoints on disk: complete or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from entropy_sde_plugin.atomic_file import atomic_file

__all__ = ['save', 'save_networks']


def save(content: Any, path: str | Path) -> None:
    """Save with ``torch.save`` such that ``path`` holds the old or the new content, whole, whatever happens meanwhile.

    Args:
        content: Anything ``torch.save`` takes.
        path: The file to create or replace; its folder exists.

    Raises:
        OSError: It could not be written; the message names ``path``, and what stood there stays.
    """
    try:
        with atomic_file(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # torch's archive writer turns a failed write into a RuntimeError
        raise OSError(f"'{path}' could not be saved: {error}") from error


def save_networks(
    folder: str | Path, label: str, iteration: int, networks: Mapping[str, nn.Module], **entries: Any
) -> None:
    """Save networks as BasicSR's checkpoints hold them, in ``<folder>/<label>_<iteration or 'latest'>.pth``.

    Args:
        folder: The experiment's ``models`` folder.
        label: Name of the network, e.g. ``net_g``.
        iteration: Current iteration; -1 for the latest.
        networks: Parameter key, e.g. ``params_ema``, to the bare network.
        entries: What the checkpoint shall hold besides.

    Raises:
        OSError: It could not be written.
    """
    content: dict[str, Any] = dict(entries)
    for key, network in networks.items():
        state = network.state_dict()
        content[key] = {name.removeprefix('module.'): value.cpu() for name, value in state.items()}
    save(content, Path(folder) / f'{label}_{"latest" if iteration == -1 else iteration}.pth')
