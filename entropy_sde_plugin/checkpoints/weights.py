"""Network weights: reading them, putting them into a network, and the settings they were trained under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from entropy_sde_plugin.checkpoints.weights_file import Weights, WeightsFile
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.diffusion import DiffusionOptions, system_of

__all__ = [
    'check_settings',
    'flat_settings',
    'load_into',
    'load_weights',
]


def load_weights(path: str | Path, param_key: str | None = 'params') -> Weights:
    """Read a state dict and, if the file has them, the settings it was trained under. No code in it is executed.

    Args:
        path: A file that :class:`~entropy_sde_plugin.checkpoints.weights_file.WeightsFile` reads.
        param_key: Which of BasicSR's entries to take; one that is missing falls back to ``params``, as in BasicSR.

    Raises:
        InputError: The file is missing, is no checkpoint, or holds no weights, or such that are not finite, or wrong
            settings.
    """
    return WeightsFile(path).weights(param_key)


def check_settings(carried: Mapping[str, Any], options: DiffusionOptions) -> None:
    """Check that a file's settings are those of a run's options.

    Raises:
        InputError: One of them differs, or the file leaves it out.
    """
    trained = flat_settings({'system': system_of(carried).system, **carried})
    wanted = flat_settings(options.settings())
    differences = [
        f'{key}: trained with {trained.get(key)}, options say {value}'
        for key, value in wanted.items()
        if trained.get(key) != value
    ]
    if differences:
        raise InputError(f'trained under another diffusion ({"; ".join(differences)}): give the same settings.')


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names, e.g. ``sde.T``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f'{key}.{name}': each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], name: str, *, strict: bool = True, assign: bool = False
) -> None:
    """Put weights into a network.

    Args:
        network: What is filled.
        state: The weights.
        name: What the options call the network, for the message.
        strict: As of ``load_state_dict``.
        assign: As of ``load_state_dict``.

    Raises:
        InputError: They are those of another network.
    """
    try:
        network.load_state_dict(state, strict=strict, assign=assign)
    except RuntimeError as error:
        raise InputError(f"they do not fit the options' {name}: {_mismatch(network, state, error)}") from None


def _mismatch(network: nn.Module, state: Mapping[str, Tensor], error: RuntimeError) -> str:
    """Say in short why ``load_state_dict`` refused weights: the first that does not fit, and how many do not.

    Args:
        network: What was to be filled.
        state: The weights.
        error: What torch said, which has a line for every one of them.
    """
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    given = {key: list(value.shape) for key, value in state.items()}
    other = [key for key in {**shapes, **given} if shapes.get(key) != given.get(key)]
    if not other:
        return ' '.join(str(error).split())[:300]
    kinds = [f'has the shape {found[other[0]]}' if other[0] in found else 'is missing' for found in (given, shapes)]
    return f"'{other[0]}' {kinds[0]} in the file and {kinds[1]} in the network ({len(other)} of {len(shapes)} differ)."
