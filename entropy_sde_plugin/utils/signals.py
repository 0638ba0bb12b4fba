"""Signals that stop a training: recorded on arrival, and handled between two steps.

SIGTERM (``kill``, torchrun, a scheduler's time limit), SIGINT (Ctrl-C) and SIGUSR1 (a scheduler's warning before the
limit). A signal that was ignored when the process started, as SIGINT is after ``nohup … &``, stays ignored.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, NoReturn

__all__ = [
    'SIGNALS',
    'InterruptionError',
    'blocked',
    'check',
    'end_on_sigterm',
    'end_with_parent',
    'exit_code',
    'exit_on_sigterm',
    'expect_children_to_end',
    'leave',
    'received',
    'watch',
]

SIGNALS = [getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGUSR1') if hasattr(signal, name)]

_received = 0
_exit_code = 0
_before: dict[int, Any] = {}


class InterruptionError(Exception):
    """Work was abandoned because a signal asked this process to stop."""


def watch() -> None:
    """Record the first signal from here on; a second one ends the process at once. Idempotent.

    Only in this process: forked children restore the previous handlers.
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


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process by ``SystemExit``, so that what it has begun is cleaned up."""
    signal.signal(signal.SIGTERM, _exit)


def end_on_sigterm() -> None:
    """Let SIGTERM end this process at once, now that nothing is left to clean up.

    torchrun sends it to processes that are shutting down, where ``SystemExit`` would be a traceback.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code() -> int:
    """Return the exit code of a process that SIGTERM ends by ``SystemExit``, or 0."""
    return _exit_code


def _exit(number: int, _: object) -> NoReturn:
    global _exit_code
    _exit_code = 128 + number
    sys.exit(_exit_code)


def end_with_parent() -> None:
    """Let this process receive SIGTERM when its parent is gone, even one that was killed. Does nothing but on Linux."""
    if sys.platform == 'linux':
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def received() -> int:
    """Return the number of the signal received, or 0."""
    return _received


def check() -> None:
    """Abandon work that can be abandoned, if a signal was received.

    Raises:
        InterruptionError: A signal was received.
    """
    if _received:
        raise InterruptionError(signal.Signals(_received).name)


@contextmanager
def blocked() -> Iterator[None]:
    """Let child processes that start in the block survive a signal to the whole process group.

    They inherit the signal mask, also through exec. A parent whose workers die cannot save; the workers of a
    DataLoader end with their parent anyway.
    """
    _kill_children_at_exit()
    if multiprocessing.get_start_method() != 'fork':
        resource_tracker.ensure_running()  # first, since starting it unblocks SIGINT and SIGTERM
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave(code: int) -> NoReturn:
    """End this process and its workers without Python's shutdown, which can hang in a distributed run.

    Torch's communication threads can keep a process alive until torchrun kills it after 30 seconds.
    """
    _kill_children()
    # Else named semaphores are reported as leaked.
    multiprocessing.util._run_finalizers(0)  # pyright: ignore[reportAttributeAccessIssue]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def expect_children_to_end() -> None:
    """Let the end of a child process be no error from here on; called in the main thread.

    PyTorch's handler would raise one for a DataLoader's worker, in whatever runs then: the last barrier, for one.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@functools.cache
def _kill_children_at_exit() -> None:
    """At exit multiprocessing sends its workers a SIGTERM, which they block, and waits for them: kill them first."""
    atexit.register(_kill_children)


def _kill_children() -> None:
    expect_children_to_end()
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _note(number: int, frame: object) -> None:
    global _received
    _received = number
    # From now on the system's default: a handler in Python would run only after a long call returns.
    for watched in _before:
        signal.signal(watched, signal.SIG_DFL)


def _end_at_second(reading: int) -> None:
    """End the process at a second signal even if ``_note`` has not run yet: Python runs its handlers only after the
    current library call returns, which may never happen (a collective whose peer hangs). The signals' numbers are
    written to the pipe at once."""
    came = 0
    while True:
        for number in os.read(reading, 64):
            came += number in _before
            if came == 2:
                os._exit(128 + number)


def _leave() -> None:
    if _before:
        signal.set_wakeup_fd(-1)  # the pipe belongs to the parent
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()
