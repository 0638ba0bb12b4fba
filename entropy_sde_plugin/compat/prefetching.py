"""Fixes for reading ahead: failures, the start of workers, and the end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher, PrefetchGenerator

from entropy_sde_plugin.compat.patching import is_ours, mentions
from entropy_sde_plugin.utils import signals

__all__ = ['patch_cpu_prefetcher', 'patch_prefetch_generator', 'patch_prefetchers']


def patch_prefetch_generator() -> None:
    """Let a failing dataset end the run under ``prefetch_mode: cpu``, and the reading thread end with the run.

    P+M prefetch_dataloader.py:27. Symptoms: the exception ends the reading thread alone, and the training waits
    forever; the thread is still reading when Python shuts down, which may end in SIGABRT.
    """
    if not is_ours(PrefetchGenerator.run):
        PrefetchGenerator.run = prefetch_generator_run
        PrefetchGenerator.__next__ = prefetch_generator_next


def prefetch_generator_run(self: PrefetchGenerator) -> None:
    """Read ahead until the generator or the run ends. The last entry of the queue is the exception that ended the
    generator: an error, or that it is exhausted."""
    join_prefetchers_at_exit()
    try:
        for item in self.generator:
            self.queue.put(item)
            if _ending.is_set():
                return
    except Exception as error:
        self.queue.put(error)
    else:
        self.queue.put(StopIteration())


def prefetch_generator_next(self: PrefetchGenerator) -> Any:
    """The next batch; raises what ended the reading."""
    item = self.queue.get()
    if isinstance(item, Exception):
        raise item
    return item


_ending = threading.Event()
"""Set when the threads that read ahead shall end."""


@functools.cache
def join_prefetchers_at_exit() -> None:
    """End the threads before the workers that they read from: Python calls what was registered last first."""
    atexit.register(join_prefetchers)


def join_prefetchers(patience: float = 10) -> None:
    """End the threads that read ahead, and wait for them ``patience`` seconds at most."""
    _ending.set()
    end = time.monotonic() + patience
    reading: list[Any] = [thread for thread in threading.enumerate() if isinstance(thread, PrefetchGenerator)]
    for thread in reading:
        while thread.is_alive() and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                thread.queue.get_nowait()  # it may wait for room
            thread.join(0.01)
    _ending.clear()


def patch_cpu_prefetcher() -> None:
    """Start the workers once.

    P+M prefetch_dataloader.py:71: starts them when it is made and again for the first epoch. Symptom: the first epoch
    starts twice as slowly, and under ``prefetch_mode: cpu`` the first workers stay until the end of the run.
    """
    if mentions(CPUPrefetcher.__init__, 'iter'):
        CPUPrefetcher.__init__ = cpu_prefetcher_init


def cpu_prefetcher_init(self: CPUPrefetcher, loader: Any) -> None:
    """Keep the loader; ``reset``, which the pipeline calls before the first batch, starts it."""
    self.ori_loader = loader
    self.loader = iter(())


def patch_prefetchers() -> None:
    """Start workers that live on when a signal goes to the whole process group.

    Ctrl-C, torchrun and schedulers signal the workers too. Symptom: they die before their parent, which then fails
    instead of saving.
    """
    for kind, name in ((CPUPrefetcher, 'reset'), (CUDAPrefetcher, '__init__'), (CUDAPrefetcher, 'reset')):
        start = getattr(kind, name)
        if not is_ours(start):
            setattr(kind, name, under_blocked_signals(start))


def under_blocked_signals(start: Callable[..., None]) -> Callable[..., None]:
    """Run a method that may start workers so that they inherit blocked signals."""

    def wrapper(*args: Any, **kwargs: Any) -> None:
        with signals.blocked():
            start(*args, **kwargs)

    return wrapper
