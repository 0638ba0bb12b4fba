"""Resident memory of this process, on Linux."""

from __future__ import annotations

import ctypes
from pathlib import Path

__all__ = ['reset_peak', 'resident']


def resident(what: str) -> int:
    """Resident memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())
    return int(status[what].split()[0]) * 1024


def reset_peak() -> int:
    """Let the peak start anew from what is in use now, and return that in bytes."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free does not stay resident
    Path('/proc/self/clear_refs').write_text('5')
    return resident('VmRSS')
