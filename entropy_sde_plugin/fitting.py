"""Weights put into a network, and in short why they do not fit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError

__all__ = ['fill']


def fill(
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
