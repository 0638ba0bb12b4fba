"""What a command says while it works: its progress, and what it has done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from entropy_sde_plugin.errors import printable

__all__ = ['Progress', 'quiet', 'report', 'tracked']

INTERVAL = 30.0
"""Seconds between two lines where there is no terminal."""

Item = TypeVar('Item', covariant=True)

_quiet: ContextVar[bool] = ContextVar('quiet', default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out reports and progress in the block; warnings, errors and what a command is asked to print stay."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def report(line: str) -> None:
    """Say on standard output what was done, in a line that does not break a progress bar."""
    if not _quiet.get():
        with tqdm.external_write_mode(file=sys.stdout):
            print(printable(line), flush=True)


class Progress:
    """How far work has come, on standard error.

    On a terminal it is tqdm's bar. Elsewhere, as in a pipe or a log, it is a plain line every ``INTERVAL`` seconds and
    one at the end.

    Args:
        total: The amount of work; None where it is not known yet.
        unit: Unit of the amount, in the plural.
        label: What the work is.
        show: False shows nothing.

    Attributes:
        total, label: As given; both may change.
        done: How much is finished.

    Example:
        >>> with Progress(2, 'images', show=False) as progress:
        ...     for done in (1, 2):
        ...         progress.update(done)
        >>> progress.done
        2
    """

    def __init__(self, total: int | None, unit: str, label: str = '', *, show: bool = True) -> None:
        show = show and not _quiet.get()
        terminal = sys.stderr.isatty()
        self.total, self.label, self.done = total, label, 0
        self._unit = unit
        self._lines = show and not terminal
        self._bar = tqdm(total=total, unit=f' {unit}', disable=not (show and terminal), dynamic_ncols=True)
        self._begin = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._bar.close()
        if self._lines and kind is None:
            self._say_line('')

    def update(self, done: int, note: str = '') -> None:
        """Say that ``done`` of the work is finished, with a note such as the current loss."""
        self.done = done
        if not self._bar.disable:
            self._bar.total = self.total
            self._bar.set_description_str(self.label, refresh=False)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._lines and done != self.total and time.monotonic() - self._said >= INTERVAL:
            self._say_line(note)

    @staticmethod
    def say(line: str) -> None:
        """Write a line to standard error that does not break the bar."""
        tqdm.write(line, file=sys.stderr)

    def _say_line(self, note: str) -> None:
        self._said = time.monotonic()
        elapsed = tqdm.format_interval(self._said - self._begin)
        of = '' if self.total is None else f' of {self.total}'
        parts = [f'{self.done}{of} {self._unit} in {elapsed}', *([note] if note else [])]
        line = ', '.join(parts)
        print(f'{self.label}: {line}' if self.label else line, file=sys.stderr, flush=True)


class Countable(Protocol[Item]):
    """What has a length and can be gone through, such as a list or a DataLoader."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


def tracked(items: Countable[Item], unit: str, label: str = '', *, show: bool = True) -> Iterator[Item]:
    """Yield the items and show how many are done."""
    with Progress(len(items), unit, label, show=show) as progress:
        for done, item in enumerate(items, 1):
            yield item
            progress.update(done)
