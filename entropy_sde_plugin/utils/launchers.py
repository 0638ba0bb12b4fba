"""What a launcher of several processes, such as torchrun, tells each of them, and how they share a report."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils import signals

__all__ = [
    'PATIENCE',
    'is_follower',
    'let_another_process_report',
    'rank_and_size',
    'started_processes',
    'usage_told_once',
]

PATIENCE = 10.0
"""Seconds in which another process of torchrun should have reported a fault."""


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


def rank_and_size() -> tuple[int, int]:
    """Return this process's ``RANK`` and the ``WORLD_SIZE`` that torchrun has set; (0, 1) without it.

    Raises:
        InputError: They are inconsistent: the processes would wait for ever for one that is not there.
    """
    rank, size = os.environ.get('RANK', '0'), os.environ.get('WORLD_SIZE', '1')
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise InputError(f'environment: RANK={rank} and WORLD_SIZE={size} are inconsistent; torchrun sets both.')
    return int(rank), int(size)


@contextmanager
def usage_told_once() -> Iterator[None]:
    """Let the first process alone print what argparse says of a command line that the block refuses."""
    if not is_follower():
        yield
        return
    told = io.StringIO()
    try:
        with redirect_stderr(told):
            yield
    except SystemExit as end:
        if end.code:
            let_another_process_report()
        raise
    finally:
        sys.stderr.write(told.getvalue())


def is_follower() -> bool:
    """Whether a launcher started this process, and not as the first."""
    return os.environ.get('RANK', '0') != '0'


def let_another_process_report() -> None:
    """Wait, so that a fault which several processes of torchrun share is reported by one of them; the last call of a
    process before its own report.

    torchrun ends this process as soon as another has failed. A fault of this process alone is reported late.
    """
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: signals.leave(1))
    if signals.received() == signal.SIGTERM:  # torchrun's, which came first
        signals.leave(1)
    time.sleep(PATIENCE)
