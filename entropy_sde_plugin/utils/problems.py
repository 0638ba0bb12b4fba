"""All the faults of an input at once: gathered while checking goes on, raised together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entropy_sde_plugin.errors import InputError

__all__ = ['Problems', 'noted']


class Problems:
    """Gathers input errors, so that a user hears of every offender in one go."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, lines: str) -> None:
        """Note a fault, or several in a line each; what is noted already counts once."""
        self._lines |= dict.fromkeys(lines.splitlines())

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Note an ``InputError`` of the block and go on after it."""
        try:
            yield
        except InputError as error:
            self.add(str(error))

    def raise_any(self) -> None:
        """Raise what was noted.

        Raises:
            InputError: One line per fault, in the order in which they were found.
        """
        if self._lines:
            raise InputError('\n'.join(self._lines))


@contextmanager
def noted(problems: Problems | None) -> Iterator[Problems]:
    """Give a place to note faults: the caller's, or one that raises them when the block ends."""
    own = Problems()
    yield own if problems is None else problems
    own.raise_any()
