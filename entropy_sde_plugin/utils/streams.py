"""Standard streams that may be closed.

A process can be started without them (``2>&-``), and the reader of its output may exit (``| true``). Neither should
stop the work.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

__all__ = ['secure']


_FAILING = ('strict', 'surrogateescape')
"""How characters that do not fit are errors; Python chooses the second for standard output in the locale C."""


def secure() -> None:
    """Make the standard streams of this process safe to write to. Idempotent.

    Output to a closed stream, or to a pipe whose reader has exited, is discarded; characters that the encoding lacks
    are replaced. Streams that other code has substituted are not changed.
    """
    _fill_gaps()
    sys.stdout = _secured(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _secured(sys.stderr, sys.__stderr__, 2)


def _fill_gaps() -> None:
    """Open the null device in place of closed streams.

    Otherwise the next files that are opened get their numbers, and receive what libraries and child processes print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _secured(stream: TextIO | None, original: TextIO | None, number: int) -> TextIO | None:
    if stream is None:
        return Path(os.devnull).open('w', encoding='utf-8')
    if stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_PatientFile(number, 'w', closefd=False)),
        encoding=stream.encoding,
        errors='replace' if stream.errors in _FAILING else stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


class _PatientFile(io.FileIO):
    """A file that becomes the null device once its reader has exited."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(content).nbytes
