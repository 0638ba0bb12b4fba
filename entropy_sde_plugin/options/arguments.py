"""Option sections that BasicSR hands to a registered class or function as keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch

from entropy_sde_plugin.errors import InputError, shown, suggestion
from entropy_sde_plugin.utils.schema import OptionError, named_option

__all__ = ['Kind', 'build_without_memory', 'check_names', 'is_ours', 'named_class', 'registered', 'registry_of']

Kind = Literal['arch', 'dataset', 'loss', 'metric', 'model']
"""Kinds of classes, or of functions, that BasicSR registers."""


def registry_of(kind: Kind) -> Any:
    """BasicSR's registry of a kind of class. BasicSR is imported here, where it is needed first."""
    from basicsr.utils import registry

    return getattr(registry, f'{kind.upper()}_REGISTRY')


def registered(kind: Kind, name: object, where: str) -> Any:
    """What BasicSR's registry of a kind knows under a name, or under the short name of one of BasicSR's own.

    Raises:
        OptionError: Nobody has registered that name.
    """
    registry = registry_of(kind)
    for full_name in (str(name), f'{name}_basicsr'):
        if full_name in registry:
            return registry.get(full_name)
    names = [key.removesuffix('_basicsr') for key in registry.keys()]  # noqa: SIM118  a registry iterates over pairs
    raise OptionError(f"'{where}.type': there is no {shown(name)}. {suggestion(str(name), names)}", f'{where}.type')


def named_class(kind: Kind, section: Any, where: str) -> Any:
    """What the ``type`` of a section names in BasicSR's registry of a kind.

    Raises:
        OptionError: It is no section, or nobody has registered that name.
    """
    if not isinstance(section, Mapping):
        raise OptionError(f"'{where}' must be a section of options, not {section!r}.", where)
    return registered(kind, section.get('type'), where)


def is_ours(registered_class: Any) -> bool:
    """Whether this package has registered a class."""
    return registered_class.__module__.startswith('entropy_sde_plugin.')


def build_without_memory(kind: Kind, section: Any, where: str) -> Any:
    """Check a section that BasicSR hands to a registered class as keyword arguments.

    Args:
        kind: Kind of class, which says the registry.
        section: The section; ``type`` names the class.
        where: The section, for messages.

    Returns:
        One of our classes, built on the device ``meta``, at no cost of memory; none for others' classes.

    Raises:
        OptionError: No such class, an argument that is unknown or missing, or one that a class of ours objects to.
    """
    built = named_class(kind, section, where)
    arguments = {key: value for key, value in section.items() if key != 'type'}
    check_names(built, arguments, where)
    if not is_ours(built):
        return None
    try:
        with torch.device('meta'):
            return built(**arguments)
    except (InputError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        option = named_option(str(error), arguments, where)
        raise OptionError(f"Section '{where}': {error}", option) from None


def check_names(built: Callable[..., Any], given: Iterable[str], where: str, added: Iterable[str] = ()) -> None:
    """Check keyword arguments from an option file against a signature.

    Args:
        built: What will be called.
        given: Names in the option file, ``type`` left out.
        where: The section, for messages.
        added: Names that the caller gives besides.

    Raises:
        OptionError: An argument that does not exist, or a missing one.
    """
    given = list(given)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(built).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name not in added
    }
    for name in given:
        if name not in parameters:
            path = f'{where}.{name}'
            raise OptionError(f"Unknown option '{path}' of {built.__name__}. {suggestion(name, parameters)}", path)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            path = f'{where}.{name}'
            raise OptionError(f"Option '{path}' of {built.__name__} is missing: add it to the option file.", path)
