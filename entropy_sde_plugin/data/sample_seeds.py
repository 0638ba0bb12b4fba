"""Random draws keyed by the sample, not by process, worker or position in the loader.

BasicSR seeds its workers only from the rank and the worker number, so its augmentation repeats every epoch and changes
with the number of workers. Here every sample of an epoch carries its own key, and its draws follow from that key and
the run's seed: independent of the number of processes and workers, and different in every epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ['DrawIndex', 'generator', 'key_of']


class DrawIndex(int):
    """A dataset index with its epoch and the number of its draw.

    It is an ``int``. A sampler that repeats the dataset within an epoch gives the
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
        seed: The run's seed, at least 0.
        index: A ``DrawIndex``, or a plain index (see ``key_of``).

    Returns:
        A generator keyed by ``(seed, epoch, draw)``; equal keys give equal streams on every machine.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key_of(index)))
