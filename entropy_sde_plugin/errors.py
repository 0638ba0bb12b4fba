"""Errors that are shown to the user in one line."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = [
    'DivergedError',
    'InputError',
    'MetricUnavailableError',
    'OtherProcessError',
    'about',
    'dotted',
    'first_line',
    'nearest',
    'print_error',
    'printable',
    'quoted',
    'suggestion',
]


_LONGEST_VALUE = 100
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


class InputError(ValueError):
    """Bad input from the user: an option, a file, a key.

    Commands print it without a traceback.

    Args:
        message: One line that says what is wrong, where (file, key or option) and what to do about it; a list of such
            lines if there are several faults. Line breaks in it, as from a file's name, are escaped
            (:func:`printable`).
        option: The option at fault. A class names its own argument, such as ``'gt_size'``; :func:`about` completes it
            to the path in the option file, such as ``'datasets.train.gt_size'``. Empty where no option is known.

    Example:
        >>> from entropy_sde_plugin.errors import InputError, about
        >>> try:
        ...     with about('network_g'):
        ...         raise InputError('width must be even, got 7.', option='width')
        ... except InputError as error:
        ...     error.option
        'network_g.width'
    """

    def __init__(self, message: str | Sequence[str] = '', option: str = '') -> None:
        # torch makes the error of a loader's worker anew, of a text with a traceback.
        is_whole = isinstance(message, str) and message.startswith('Caught ')
        faults = [message] if isinstance(message, str) else message
        super().__init__('\n'.join(faults if is_whole else map(printable, faults)))
        self.option = option

    @property
    def faults(self) -> list[str]:
        """One line for each fault."""
        return str(self).split('\n')

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults, self.option)


class DivergedError(InputError):
    """A training diverged: its loss or gradient is no longer finite, and its last weights are of no use."""


class MetricUnavailableError(InputError):
    """A metric cannot be computed, e.g. because its weights are missing or an image is too small.

    Validation continues without it: the table shows n/a, and the log this message.
    """


class OtherProcessError(RuntimeError):
    """Work failed in another process of the run, which reports it."""


@contextmanager
def about(section: str) -> Iterator[None]:
    """Prefix the option of every ``InputError`` that the block raises with ``section``."""
    try:
        yield
    except InputError as error:
        error.option = dotted(section, error.option)
        raise


def dotted(section: str, option: object) -> str:
    """Return the path of an option in a section; either may be empty."""
    return f'{section}.{option}' if section and option != '' else section or str(option)


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return the tail of an error message for a misspelt ``name``.

    Args:
        name: What the user wrote.
        valid: The names that exist.

    Returns:
        ``"Did you mean 'levels'?"`` when a valid name is similar, else the list of valid names.
    """
    choices = sorted(valid)
    near = nearest(name, choices)
    return f"Did you mean '{near}'?" if near else f'Valid names: {", ".join(choices)}.'


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none.

    Example:
        >>> first_line(ValueError('wrong\\nbecause')), first_line(MemoryError())
        ('wrong', 'MemoryError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that ``name`` is probably a misspelling of; None if there is none."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)), None)


def quoted(value: object) -> str:
    """Return a user's value for a message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f'{text[:_LONGEST_VALUE]}…'


def printable(text: str) -> str:
    r"""Return a text that is one line in every file and on every terminal.

    Control characters, and bytes of a file's name that are not UTF-8, become ``%`` and two digits for each byte.

    Example:
        >>> import os
        >>> printable(os.fsdecode(b'caf\xe9.png')), printable('two\nlines')
        ('caf%E9.png', 'two%0Alines')
    """
    return _UNPRINTABLE.sub(lambda match: ''.join(f'%{byte:02X}' for byte in _bytes(match[0])), text)


def _bytes(character: str) -> bytes:
    # Each surrogate of PEP 383 is a byte.
    return character.encode(errors='surrogateescape' if '\udc80' <= character <= '\udcff' else 'surrogatepass')


def print_error(message: object) -> None:
    """Write an error to standard error, each line prefixed with ``error: ``."""
    for line in str(message).split('\n'):
        print(f'error: {line}', file=sys.stderr, flush=True)
