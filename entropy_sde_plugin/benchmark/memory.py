"""Memory of this process, resident (on Linux), and on a GPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

__all__ = ['PeakMemory', 'reset_peak', 'resident']


def resident(what: str) -> int:
    """Resident memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return int(status[what].split()[0]) * 1024


def reset_peak() -> int:
    """Let the peak start anew from what is in use now, and return that in bytes."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free does not stay resident
    Path('/proc/self/clear_refs').write_text('5')
    return resident('VmRSS')


class PeakMemory:
    """Peak of the memory in use since this was made, above what was in use then: a GPU's, or the resident memory."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == 'cuda'
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._before = torch.cuda.memory_allocated() if self._on_gpu else reset_peak()

    def above_baseline(self) -> int:
        """Return it in bytes, at least 1."""
        after = torch.cuda.max_memory_allocated() if self._on_gpu else resident('VmHWM')
        return max(after - self._before, 1)
