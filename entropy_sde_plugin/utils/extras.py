"""A one-line error for optional dependencies that are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from entropy_sde_plugin.errors import InputError

__all__ = ['needs_extra']


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Turn a failed import within the block into an error that names the extra to install.

    Args:
        name: The extra, as in ``entropy-sde-plugin[name]``.

    Raises:
        InputError: A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{error}; it comes with an extra: pip install 'entropy-sde-plugin[{name}]'.") from None
