"""Why weights do not fit a network, in short."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ['mismatch']


def mismatch(network: nn.Module, state: Mapping[str, Tensor], error: RuntimeError) -> str:
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
