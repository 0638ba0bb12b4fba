"""Tools of the patches: inspect BasicSR's code, and replace it wherever it is imported."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

__all__ = ['is_ours', 'mentions', 'replace']


def mentions(function: Callable[..., Any], name: str) -> bool:
    """Return whether the code of a function mentions a name, an attribute or a string.

    Most defects are recognised by what the code uses: a BasicSR that no longer uses it is not patched.
    """
    return any(name in code.co_names or name in code.co_consts for code in _codes(inspect.unwrap(function).__code__))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def is_ours(function: Callable[..., Any]) -> bool:
    """Return whether a function of BasicSR has already been replaced by one of this package."""
    return inspect.unwrap(function).__globals__['__name__'].startswith('entropy_sde_plugin.')


def replace(original: object, replacement: object) -> None:
    """Replace an object in every module of BasicSR and of this package that knows it, under whatever name."""
    for module_name, module in list(sys.modules.items()):
        if module is not None and module_name.split('.')[0] in ('basicsr', 'entropy_sde_plugin'):
            for name in [name for name, value in vars(module).items() if value is original]:
                setattr(module, name, replacement)
