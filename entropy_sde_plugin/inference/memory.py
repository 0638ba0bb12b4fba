"""Continuing with smaller tiles when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from entropy_sde_plugin.inference.enhancer_options import SMALLEST_TILE

__all__ = ['in_memory']

Result = TypeVar('Result')


class Tiled(Protocol):
    """A network prepared for inference; see :class:`~entropy_sde_plugin.networks.architectures.InferenceNetwork`."""

    tile: int


def in_memory(work: Callable[[], Result], network: Tiled, height: int, width: int) -> Result:
    """Do the work of an image; each time that memory runs out, halve the network's tile and begin again.

    Args:
        work: Calls the network.
        network: Its tile is lowered.
        height: Height of the image, as the network sees it.
        width: Its width.

    Raises:
        RuntimeError, MemoryError: Another error, or memory that does not suffice for the smallest tile.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error) or network.tile == SMALLEST_TILE:
                raise
        whole = int((height * width) ** 0.5)
        network.tile = max(SMALLEST_TILE, (network.tile or whole) // 2)
        logging.getLogger('basicsr.enhancer').warning(
            f'Out of memory for an image of {width}x{height}: continuing with tiles of {network.tile}.'
        )


def _is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's allocators for CPUs and for MPS have no exception of their own.
    messages = 'DefaultCPUAllocator', 'MPS backend out of memory'
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in messages)
