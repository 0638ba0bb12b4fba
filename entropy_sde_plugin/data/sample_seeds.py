"""Random draws that belong to a sample, not to a process, a worker or a position in the loader.

BasicSR seeds its workers from the rank and the worker number alone, so its augmentation repeats every epoch and changes
with the number of workers. Here every sample of an epoch carries its own key, and its draws follow from that key and
the run's seed: the same however many processes and workers share the work, different in every epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ['DrawIndex', 'generator', 'key_of']


class DrawIndex(int):
    """A dataset index that knows which draw of which epoch it is.

    It is an ``int`` to everything that indexes with it. A sampler that repeats the dataset within an epoch gives the
    repeats different ``draw`` numbers, so that they are augmented differently.

    Args:
        index: Position in the dataset, ``0 <= index < len(dataset)``.
        epoch: Number of the epoch.
        draw: Number of the draw, unique within the epoch over all processes.
    """

    epoch: int
    draw: int

    def __new__(cls, index: int, *, epoch: int, draw: int) -> DrawIndex:
        self = super().__new__(cls, index)
        self.epoch = int(epoch)
        self.draw = int(draw)
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[int], dict[str, Any]]:
        return (int(self),), {'epoch': self.epoch, 'draw': self.draw}

    def __repr__(self) -> str:
        return f'DrawIndex({int(self)}, epoch={self.epoch}, draw={self.draw})'


def key_of(index: int) -> tuple[int, int]:
    """Return ``(epoch, draw)`` of an index; a plain ``int`` counts as that draw of epoch 0."""
    return (index.epoch, index.draw) if isinstance(index, DrawIndex) else (0, int(index))


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of one sample.

    Args:
        seed: The run's seed, not negative.
        index: A ``DrawIndex``, or a plain index (see ``key_of``).

    Returns:
        A generator keyed by ``(seed, epoch, draw)``; equal keys give equal streams on every machine.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key_of(index)))
