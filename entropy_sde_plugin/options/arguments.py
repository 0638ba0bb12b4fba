"""Option sections that BasicSR passes to a registered class or function as keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch

from entropy_sde_plugin.errors import InputError, dotted, quoted, suggestion

__all__ = [
    'Kind',
    'arguments_of',
    'build_without_memory',
    'check_names',
    'culprit',
    'is_ours',
    'named_class',
    'registered',
    'registry_of',
]

Kind = Literal['arch', 'dataset', 'loss', 'metric', 'model']
"""Kinds of classes, or of functions, that BasicSR registers."""


def registry_of(kind: Kind) -> Any:
    """Return BasicSR's registry of a kind of class. BasicSR is imported only here."""
    from basicsr.utils import registry

    return getattr(registry, f'{kind.upper()}_REGISTRY')


def registered(kind: Kind, name: object, option: str) -> Any:
    """Return the class or function that is registered under a name; the suffix ``_basicsr`` may be left out.

    Args:
        kind: What is registered.
        name: The name that an option file gives; None if it gives none.
        option: The option that gives it, such as ``network_g.type``.

    Raises:
        InputError: The name is missing or not registered.
    """
    if name is None:
        raise InputError(f"Option '{option}' is missing: add it to the option file.", option)
    registry = registry_of(kind)
    for full_name in (str(name), f'{name}_basicsr'):
        if full_name in registry:
            return registry.get(full_name)
    names = [key.removesuffix('_basicsr') for key in registry.keys()]  # noqa: SIM118  a registry iterates over pairs
    raise InputError(f"'{option}': there is no {quoted(name)}. {suggestion(str(name), names)}", option)


def named_class(kind: Kind, section: Any, where: str) -> Any:
    """Return the class or function that the ``type`` of a section names.

    Raises:
        InputError: It is not a section, or the name is not registered.
    """
    if not isinstance(section, Mapping):
        raise InputError(f"'{where}' must be a section of options, not {section!r}.", where)
    return registered(kind, section.get('type'), f'{where}.type')


def is_ours(registered_class: Any) -> bool:
    """Return whether a registered class belongs to this package."""
    return registered_class.__module__.startswith('entropy_sde_plugin.')


def build_without_memory(kind: Kind, section: Any, where: str) -> Any:
    """Check a section that BasicSR passes to a registered class as keyword arguments.

    Args:
        kind: Kind of class, which names the registry.
        section: The section; ``type`` names the class.
        where: The section, for messages.

    Returns:
        An instance on the device ``meta``, which takes no memory, of a class of ours; None for other classes.

    Raises:
        InputError: Unknown class, unknown or missing argument, or a value that a class of ours rejects.
    """
    built = named_class(kind, section, where)
    arguments = arguments_of(section)
    check_names(built, arguments, where)
    if not is_ours(built):
        return None

    def build(**arguments: Any) -> Any:
        with torch.device('meta'):
            return built(**arguments)

    try:
        return build(**arguments)
    except (InputError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        option = error.option if isinstance(error, InputError) else culprit(build, arguments)
        raise InputError(f"Section '{where}': {error}", dotted(where, option)) from None


def arguments_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section without its ``type``: the keyword arguments."""
    return {key: value for key, value in section.items() if key != 'type'}


def culprit(call: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Return the argument that makes a call fail: the first without which it succeeds; '' if there is none."""
    for name in arguments:
        try:
            call(**{key: value for key, value in arguments.items() if key != name})
        except Exception:  # the call still fails: try the next argument
            continue
        return name
    return ''


def check_names(built: Callable[..., Any], given: Iterable[str], where: str, added: Iterable[str] = ()) -> None:
    """Check keyword arguments from an option file against a signature.

    Args:
        built: What will be called.
        given: Names in the option file, without ``type``.
        where: The section, for messages.
        added: Names that the caller adds.

    Raises:
        InputError: Unknown or missing argument.
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
            raise InputError(f"Unknown option '{path}' of {built.__name__}. {suggestion(name, parameters)}", path)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            path = f'{where}.{name}'
            raise InputError(f"Option '{path}' of {built.__name__} is missing: add it to the option file.", path)
