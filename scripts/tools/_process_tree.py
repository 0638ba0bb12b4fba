"""What a process and its descendants hold, read from Linux's ``/proc``."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ['Holdings', 'holdings']


@dataclass(frozen=True)
class Holdings:
    """What the processes of a tree hold together.

    Attributes:
        memory: Resident memory in bytes; pages that two processes share count twice.
        descriptors: Open file descriptors.
        threads: Threads.
        processes: Processes.
        seconds: Processor time since they began; that of descendants that have ended included.
    """

    memory: int
    descriptors: int
    threads: int
    processes: int
    seconds: float


def holdings(root: int) -> Holdings:
    """Sum up a process and its descendants; one that ends meanwhile is left out."""
    memory = descriptors = threads = processes = ticks = 0
    for process in _tree(root):
        try:
            status = dict(line.split(':', 1) for line in (process / 'status').read_text().splitlines())
            opened = len(list((process / 'fd').iterdir()))
            times = _stat(process)[11:15]  # user and system, its own and those of its ended children
            memory += int(status['VmRSS'].split()[0]) * 1024
        except (OSError, KeyError):  # gone, or dead and not yet waited for
            continue
        descriptors += opened
        threads += int(status['Threads'])
        processes += 1
        ticks += sum(map(int, times))
    return Holdings(memory, descriptors, threads, processes, ticks / os.sysconf('SC_CLK_TCK'))


def _tree(root: int) -> Iterator[Path]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.scandir('/proc'):
        if entry.name.isdecimal():
            try:
                children[int(_stat(Path(entry.path))[1])].append(int(entry.name))
            except OSError:
                continue
    waiting = [root]
    while waiting:
        process = waiting.pop()
        waiting += children[process]
        yield Path('/proc', str(process))


def _stat(process: Path) -> list[str]:
    """Fields 3 and on of proc(5)'s ``stat``: the name before them is in brackets and may hold anything."""
    return (process / 'stat').read_text().rpartition(')')[2].split()
