"""A command that this process runs and whose output it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from entropy_sde_plugin.errors import InputError

__all__ = ['ChildProcess', 'running']

SHOWN = 30
"""Last lines of a failed command that are shown."""


@dataclass(frozen=True)
class ChildProcess:
    """A running command; iterating over it gives the lines of its output.

    Attributes:
        process: The process.
        last_lines: The latest lines that were read.
    """

    process: subprocess.Popen[str]
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN))

    def __iter__(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last_lines.append(line)
            yield line


@contextmanager
def running(what: str, command: Sequence[str], folder: Path) -> Iterator[ChildProcess]:
    """Run a command that does not outlive the block, however the block ends.

    Args:
        what: What it does, as the subject of a message, such as ``The training``.
        command: The program and its arguments.
        folder: Its working directory.

    Yields:
        The process. Read its output to the end: a full pipe would stop it.

    Raises:
        InputError: It failed; its last lines were shown on standard error.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, 'PYTHONIOENCODING': 'utf-8'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        errors='replace',  # of messages that libraries print
    ) as process:
        child = ChildProcess(process)
        try:
            yield child
            process.wait()
        finally:
            process.terminate()
    if process.returncode != 0:
        sys.stderr.writelines(child.last_lines)
        raise InputError(f'{what} stopped with exit code {process.returncode}; its last lines are above.')
