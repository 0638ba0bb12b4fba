"""What a launcher of several processes, such as torchrun, tells each of them."""

from __future__ import annotations

import os

__all__ = ['started_processes']


def started_processes(rank: str, count: str) -> int:
    """Return how many processes a launcher started together; 1 if it started none.

    Args:
        rank: The environment variable in which it numbers the processes.
        count: The variable in which it counts them.

    Example:
        >>> os.environ |= {'JOB_RANK': '0', 'JOB_SIZE': '4'}
        >>> started_processes('JOB_RANK', 'JOB_SIZE'), started_processes('NO_RANK', 'JOB_SIZE')
        (4, 1)
    """
    number = os.environ.get(count, '')
    return int(number) if rank in os.environ and number.isdecimal() else 1
