"""Faults of an input, collected while checking continues and raised together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entropy_sde_plugin.errors import InputError

__all__ = ['Problems', 'collecting']


class Problems:
    """A collection of input errors, so that a user sees all faults at once."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}  # to the option at fault

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: str, option: str = '') -> None:
        """Add a fault; a repeated one is kept once."""
        self._faults[fault] = option

    @contextmanager
    def collect(self, option: str = '') -> Iterator[None]:
        """Collect an ``InputError`` that the block raises, and continue after the block."""
        try:
            yield
        except InputError as error:
            for fault in error.faults:
                self.add(fault, error.option or option)

    def raise_any(self) -> None:
        """Raise the collected faults.

        Raises:
            InputError: One line per fault, in the order found; ``option`` is set if all faults share it.
        """
        if self._faults:
            options = set(self._faults.values())
            raise InputError([*self._faults], option=options.pop() if len(options) == 1 else '')


@contextmanager
def collecting(problems: Problems | None) -> Iterator[Problems]:
    """Yield ``problems``, or a new collection that raises its faults at the end of the block."""
    own = Problems()
    yield own if problems is None else problems
    own.raise_any()
