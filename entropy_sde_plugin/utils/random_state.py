"""The global random generators: of Python, NumPy and PyTorch, the last on the CPU and on the current GPU.

What belongs to this package draws from generators of its own; BasicSR's datasets and networks with dropout draw from
these.
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
    """The generators' states, in values that ``torch.load(…, weights_only=True)`` takes."""
    name, keys, *rest = np.random.get_state()
    return {
        'python': random.getstate(),
        'numpy': (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_state(state: dict[str, Any]) -> None:
    """Put the generators back to what ``get_state`` gave; that of a GPU only where there is one in both."""
    name, keys, *rest = state['numpy']
    random.setstate(state['python'])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the generators as they were before the block, whatever it draws."""
    before = get_state()
    try:
        yield
    finally:
        set_state(before)


@contextmanager
def seeded(seed: int, key: Sequence[int]) -> Iterator[None]:
    """Let a block draw from generators that follow from a seed and a key, and leave them as they were before.

    The GPU's is not touched: what is drawn for a sample is drawn on the CPU.

    Args:
        seed: The run's seed, not negative.
        key: Numbers, none of them negative; equal ones give equal draws on every machine.
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
