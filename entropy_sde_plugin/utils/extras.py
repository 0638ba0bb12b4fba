"""Optional dependencies, named in one line where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entropy_sde_plugin.errors import InputError

__all__ = ['needs_extra']


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Say which extra of this package to install when an import within the block fails.

    Args:
        name: The extra, as in ``entropy-sde-plugin[name]``.

    Raises:
        InputError: A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error}; it comes with an extra: pip install 'entropy-sde-plugin[{name}]'.") from None
