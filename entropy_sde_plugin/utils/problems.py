"""All faults of an input at once: collected while checking continues, raised together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entropy_sde_plugin.errors import InputError

__all__ = ['Problems', 'collecting']


class Problems:
    """A collection of input errors, so that a user learns of every fault in one go."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}  # to the option at fault

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, lines: str, option: str = '') -> None:
        """Add a fault, or several, one a line; a line that is there already counts once."""
        self._lines |= dict.fromkeys(lines.splitlines(), option)

    @contextmanager
    def collect(self, option: str = '') -> Iterator[None]:
        """Add an ``InputError`` of the block, and continue after it."""
        try:
            yield
        except InputError as error:
            self.add(str(error), error.option or option)

    def raise_any(self) -> None:
        """Raise what was collected.

        Raises:
            InputError: One line per fault, in the order in which they were found, with the option that they share.
        """
        if self._lines:
            options = set(self._lines.values())
            raise InputError('\n'.join(self._lines), option=options.pop() if len(options) == 1 else '')


@contextmanager
def collecting(problems: Problems | None) -> Iterator[Problems]:
    """Yield the caller's collection, or one that raises what it holds at the end of the block."""
    own = Problems()
    yield own if problems is None else problems
    own.raise_any()
