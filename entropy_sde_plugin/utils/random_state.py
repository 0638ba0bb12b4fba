"""The global random generators of Python, NumPy and PyTorch (CPU and current GPU).

The code of this package draws from its own generators; BasicSR's datasets, and networks with dropout, draw from these.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ['get_state', 'preserved', 'seeded', 'set_state']


def get_state() -> dict[str, Any]:
    """Return the generators' states, as values that ``torch.load(…, weights_only=True)`` accepts."""
    name, keys, *rest = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_state(state: dict[str, Any]) -> None:
    """Restore what ``get_state`` returned; the GPU's generator only where there is a GPU now and was one then."""
    name, keys, *rest = state['numpy']
    random.setstate(state['python'])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


@contextmanager
def preserved() -> Iterator[None]:
    """Restore the generators after the block."""
    before = get_state()
    try:
        yield
    finally:
        set_state(before)


@contextmanager
def seeded(seed: int, key: Sequence[int]) -> Iterator[None]:
    """Seed the generators from a seed and a key within the block, and restore them after it.

    The GPU's generator is not changed: samples are drawn on the CPU.

    Args:
        seed: The run's seed, at least 0.
        key: Numbers, each at least 0; equal keys give equal draws on every machine.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(seed, spawn_key=key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
