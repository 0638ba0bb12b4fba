"""Network weights: reading, loading into a network, and the settings they were trained under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from entropy_sde_plugin.checkpoints.weights_file import Weights, WeightsFile
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.options.systems import system_of

__all__ = [
    'check_settings',
    'flat_settings',
    'load_into',
    'load_weights',
    'settings_line',
]


def load_weights(path: str | Path, param_key: str | None = 'params') -> Weights:
    """Read a state dict and, if the file has them, the settings it was trained under. No code in the file is executed.

    Args:
        path: A file that :class:`~entropy_sde_plugin.checkpoints.weights_file.WeightsFile` reads.
        param_key: Which entry to use; ``WeightsFile.weights`` says what is used if it is missing.

    Raises:
        InputError: The file is missing or not a checkpoint, or holds no weights, weights that are not finite, or
            settings that are not a section.
    """
    return WeightsFile(path).weights(param_key)


def check_settings(carried: Mapping[str, Any], options: SystemOptions) -> None:
    """Check that a file's settings are those of a run's options.

    Raises:
        InputError: One of them differs, is missing in the file, or is unknown.
    """
    system = system_of(carried)
    system.from_settings(carried)  # names and values are valid
    trained = flat_settings({'system': system.system, **carried})
    wanted = flat_settings(options.settings())
    differences = [
        f'{key}: trained with {trained.get(key)}, the options have {value}'
        for key, value in wanted.items()
        if trained.get(key) != value and key not in options.adjustable
    ]
    if differences:
        raise InputError(f'trained under another diffusion ({"; ".join(differences)}): use the same settings.')


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted names, e.g. ``sde.T``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f'{key}.{name}': each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat


def settings_line(settings: Mapping[str, Any]) -> str:
    """Return settings in one line for a message, as an option file would have them.

    Example:
        >>> settings_line({'sde': {'T': 100, 'schedule': 'cosine'}, 'prediction': 'x0'})
        '{sde: {T: 100, schedule: cosine}, prediction: x0}'
    """
    text = yaml.safe_dump(dict(settings), default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.strip()


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], name: str, *, strict: bool = True, assign: bool = False
) -> None:
    """Load weights into a network.

    Args:
        network: The network.
        state: The weights.
        name: The network's name in the options, for the message.
        strict: As in ``load_state_dict``.
        assign: As in ``load_state_dict``.

    Raises:
        InputError: The weights do not fit.
    """
    try:
        network.load_state_dict(state, strict=strict, assign=assign)
    except RuntimeError as error:
        raise InputError(f"they do not fit the options' {name}: {_mismatch(network, state, error)}") from None


def _mismatch(network: nn.Module, state: Mapping[str, Tensor], error: RuntimeError) -> str:
    """Return in short why ``load_state_dict`` failed: the first tensor that does not fit, and their number.

    Args:
        network: The network.
        state: The weights.
        error: Torch's error, which has a line for each tensor.
    """
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    given = {key: list(value.shape) for key, value in state.items()}
    other = [key for key in {**shapes, **given} if shapes.get(key) != given.get(key)]
    if not other:
        return ' '.join(str(error).split())[:300]
    kinds = [f'has the shape {found[other[0]]}' if other[0] in found else 'is missing' for found in (given, shapes)]
    count = f'{len(other)} of {len({**shapes, **given})} differ'
    return f"'{other[0]}' {kinds[0]} in the file and {kinds[1]} in the network ({count})."
