"""Times of calls, their work on a GPU included."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

__all__ = ['fastest', 'seconds']


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    _wait_for_gpu()
    start = time.perf_counter()
    call()
    _wait_for_gpu()
    return time.perf_counter() - start


def fastest(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time calls in turns, and return the fastest time of each: other work on the machine only adds time.

    Example:
        >>> times = fastest({'short': lambda: sum(range(10)), 'long': lambda: sum(range(10**6))}, repeats=3)
        >>> times['short'] < times['long']
        True
    """
    times = {name: float('inf') for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name] = min(times[name], seconds(call))
    return times


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
