"""Standard streams that may be closed.

A process can be started without them (``2>&-``), and the reader of its output may exit (``| true``). Neither should
stop the work.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from entropy_sde_plugin.errors import InputError, print_error

__all__ = ['check_output', 'secure']

_STDOUT, _STDERR = 1, 2

_failure: OSError | None = None
"""The first failure of standard output."""

_FAILING = ('strict', 'surrogateescape')
"""How characters that do not fit are errors; Python chooses the second for standard output in the locale C."""


def secure() -> None:
    """Make the standard streams of this process safe to write to. Idempotent.

    Output to a closed stream, to a pipe whose reader has exited, or to a standard error that takes no more, as on a
    full disk, is discarded. So is that of a standard output which takes no more, and this is reported at the end.
    Characters that the encoding lacks are replaced. Streams that other code has substituted are not changed.
    """
    _fill_gaps()
    sys.stdout = _secured(sys.stdout, sys.__stdout__, _STDOUT)
    sys.stderr = _secured(sys.stderr, sys.__stderr__, _STDERR)
    atexit.unregister(_check_at_exit)
    atexit.register(_check_at_exit)


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
    """A file that becomes the null device at its first failure, which is recorded if it is one of standard output."""

    def write(self, content: Any) -> int:
        global _failure
        try:
            return super().write(content)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.fileno() == _STDOUT and not isinstance(error, BrokenPipeError):
                _failure = error
            return memoryview(content).nbytes


def check_output() -> None:
    """Write out what is in the buffers of standard output.

    Raises:
        InputError: Some of the output is lost; raised once.
    """
    global _failure
    if sys.stdout is not None:
        sys.stdout.flush()
    if _failure is not None:
        reason, _failure = _failure.strerror, None
        raise InputError(f'standard output cannot be written ({reason}): some of it is lost.')


def _check_at_exit() -> None:
    try:
        check_output()
    except InputError as error:
        print_error(error)
