"""Reading network weights: BasicSR's checkpoints, the released ones and bare state dicts."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError

__all__ = ['SETTINGS_KEY', 'load_weights']

SETTINGS_KEY = 'entropy_sde'
"""Entry of a checkpoint that holds the settings its weights were trained under."""


def load_weights(path: str | Path, param_key: str | None = 'params') -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read a state dict and, where the file has them, the settings it was trained under. No code in it is executed.

    Args:
        path: A ``.pth`` file: ``{'params': …, 'params_ema': …}`` as BasicSR saves it, or a bare state dict as the
            released networks come; keys may carry the prefix ``module.`` of DataParallel.
        param_key: Which of BasicSR's entries to take; one that is missing falls back to ``params``, as in BasicSR.

    Returns:
        The state dict on the CPU, and the settings or None.

    Raises:
        InputError: The file is missing, is no checkpoint, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Weights '{path}' do not exist: check path.pretrain_network_g.")
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise InputError(
            f"Weights '{path}' cannot be read as a checkpoint: {reason[0] if reason else error!r}"
        ) from None
    if not isinstance(content, Mapping):
        raise InputError(f"Weights '{path}' hold a {type(content).__name__}, not a dictionary of weights.")
    settings = content.get(SETTINGS_KEY)
    weights = next((content[key] for key in (param_key, 'params') if key in content), content)
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"Weights '{path}' hold no state dict: entries {', '.join(map(str, list(content)[:5]))}.")
    return {key.removeprefix('module.'): value for key, value in weights.items()}, settings
