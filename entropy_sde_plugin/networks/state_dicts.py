"""Checks of a state dict against the network whose arguments were read off it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError

__all__ = ['MOST_BLOCKS', 'check_fit', 'size_of']


MOST_BLOCKS = 1000
"""Most blocks of a level: a network with more, by a typing error, would take minutes to build."""


def size_of(state: Mapping[str, Tensor], key: str, name: str, dims: int = 4) -> torch.Size:
    """Return the shape of a weight.

    Args:
        state: The state dict.
        key: The weight's key.
        name: Name of the network, for the message.
        dims: How many dimensions it must have.

    Raises:
        InputError: It is missing, or has other dimensions.
    """
    if key not in state or state[key].dim() != dims:
        raise InputError(f"These weights do not belong to the network {name}: '{key}' is missing or misshapen.")
    return state[key].shape


def check_fit(network: type[nn.Module], options: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Check that a state dict has every weight of a network, in its shape, and no others.

    Raises:
        InputError: It differs; the message names the first such key.
    """
    with torch.device('meta'):
        expected = network(**options).state_dict()
    for key in [*expected, *state]:
        if key not in expected or key not in state or expected[key].shape != state[key].shape:
            message = f"These weights do not belong to the network {network.__name__}: '{key}' does not fit the others."
            raise InputError(message)
