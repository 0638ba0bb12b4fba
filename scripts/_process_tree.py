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
    """

    memory: int
    descriptors: int
    threads: int
    processes: int


def holdings(root: int) -> Holdings:
    """Sum up a process and its descendants; one that ends meanwhile is left out."""
    memory = descriptors = threads = processes = 0
    for process in _tree(root):
        try:
            status = dict(line.split(':', 1) for line in (process / 'status').read_text().splitlines())
            opened = len(list((process / 'fd').iterdir()))
            memory += int(status['VmRSS'].split()[0]) * 1024
        except (OSError, KeyError):  # gone, or dead and not yet waited for
            continue
        descriptors += opened
        threads += int(status['Threads'])
        processes += 1
    return Holdings(memory, descriptors, threads, processes)


def _tree(root: int) -> Iterator[Path]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in os.scandir('/proc'):
        if entry.name.isdecimal():
            try:
                stat = Path(entry.path, 'stat').read_text()
            except OSError:
                continue
            # The name stands in brackets and may hold anything; behind it, the state and the parent.
            children[int(stat.rpartition(')')[2].split()[1])].append(int(entry.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        waiting += children[process]
        yield Path('/proc', str(process))
