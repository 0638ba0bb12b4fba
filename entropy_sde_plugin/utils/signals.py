"""Signals that ask a training to stop: recorded when they come, acted upon where the training is whole.

SIGTERM (``kill``, torchrun, a scheduler's time limit), SIGINT (Ctrl-C) and SIGUSR1 (a scheduler's warning before the
limit). One that the process was started to ignore, as SIGINT after ``nohup … &``, stays ignored.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, NoReturn

__all__ = ['SIGNALS', 'InterruptionError', 'blocked', 'check', 'leave', 'received', 'watch']

SIGNALS = [getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGUSR1') if hasattr(signal, name)]

_received = 0
_before: dict[int, Any] = {}


class InterruptionError(Exception):
    """Work was left because a signal asked this process to stop."""


def watch() -> None:
    """Note the first signal from here on; a second one ends the process at once. Idempotent.

    Only in this process: forked children go back to what was before.
    """
    if _before:
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            _before[number] = signal.signal(number, _note)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_second, args=(reading,), daemon=True).start()
    os.register_at_fork(after_in_child=_leave)


def received() -> int:
    """The number of the signal that came, or 0."""
    return _received


def check() -> None:
    """Leave work that can be left.

    Raises:
        InterruptionError: A signal has come.
    """
    if _received:
        raise InterruptionError(signal.Signals(_received).name)


@contextmanager
def blocked() -> Iterator[None]:
    """Let child processes that start in the block live on when the whole process group is sent a signal.

    They inherit the blocking, through an exec too. A parent whose workers die cannot save; those of a DataLoader end
    with their parent anyway.
    """
    _kill_children_at_exit()
    if multiprocessing.get_start_method() != 'fork':
        resource_tracker.ensure_running()  # before: starting it takes SIGINT and SIGTERM out of the blocked ones
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave(code: int) -> NoReturn:
    """End this process and its workers without Python's tidying up, which several processes must not rely on.

    The threads of torch's communication may keep a process there until torchrun loses its patience after 30 seconds.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # a DataLoader would raise an error for a killed worker
    _kill_children()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@functools.cache
def _kill_children_at_exit() -> None:
    """Before multiprocessing, at the exit, waits for the workers that it has sent the SIGTERM they do not see."""
    atexit.register(_kill_children)


def _kill_children() -> None:
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _note(number: int, frame: object) -> None:
    global _received
    _received = number
    # The system's own handling from now on: Python's would let a second signal wait for a long call to return.
    for watched in _before:
        signal.signal(watched, signal.SIG_DFL)


def _end_at_second(reading: int) -> None:
    """End the process at a second signal where ``_note`` has not come to run: Python's handlers wait for a call of a
    library to return, such as a collective whose peer hangs, while the numbers of the signals are written at once."""
    came = 0
    while True:
        for number in os.read(reading, 64):
            came += number in _before
            if came == 2:
                os._exit(128 + number)


def _leave() -> None:
    if _before:
        signal.set_wakeup_fd(-1)  # it is the parent's
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()
