"""Errors that speak to the user in one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from types import TracebackType

__all__ = [
    'DivergedError',
    'InputError',
    'MetricUnavailableError',
    'nearest',
    'report_input_errors',
    'shown',
    'suggestion',
    'tell',
]


_LONGEST_VALUE = 100


class InputError(ValueError):
    """Bad input from the user: an option, a file, a key.

    The message is one line that says what was wrong, where it stands (file, key or option) and what to do about it.
    Commands print it without a traceback.
    """


class DivergedError(InputError):
    """A training whose steps have no finite loss or gradient any more: its last weights are not worth keeping."""


class MetricUnavailableError(InputError):
    """A metric that cannot be had: weights that are nowhere, a picture too small.

    A validation goes on without it, and its table says n/a and this message.
    """


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return the tail of an error message for a misspelt ``name``.

    Args:
        name: What the user wrote.
        valid: The names that exist.

    Returns:
        ``"Did you mean 'levels'?"`` when a valid name is near, else the list of valid names.
    """
    choices = sorted(valid)
    near = nearest(name, choices)
    return f"Did you mean '{near}'?" if near else f'Valid names: {", ".join(choices)}.'


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Which of some names is near enough to one to be a slip of the pen; None if none is."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)), None)


def shown(value: object) -> str:
    """Return a value of the user's as it stands in a message: cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f'{text[:_LONGEST_VALUE]}…'


def tell(message: object) -> None:
    """Write an error to standard error, each of its lines behind ``error: ``."""
    for line in str(message).splitlines():
        print(f'error: {line}', file=sys.stderr, flush=True)


def report_input_errors() -> None:
    """From here on an uncaught ``InputError`` ends this process with ``error: …`` and exit code 1, without traceback.

    Idempotent. Other exceptions are reported as before. Once several processes have joined, torch puts ``[rank0]:`` in
    front.
    """
    if isinstance(sys.excepthook, _Reporter):
        return
    sys.excepthook = _Reporter(sys.excepthook)


class _Reporter:
    def __init__(self, others: Callable[..., None]) -> None:
        self._others = others

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, InputError):
            _report(error)
        else:
            self._others(kind, error, trace)


def _report(error: InputError) -> None:
    # A DataLoader's worker hands its error over as a text that ends in "…InputError: <message>".
    tell(str(error).split(f'{InputError.__module__}.{InputError.__qualname__}: ')[-1].strip())
