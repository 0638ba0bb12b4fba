"""Option sections as msgspec structs: names, types and ranges are checked once, each fault is reported in one line."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from entropy_sde_plugin.errors import InputError, dotted, quoted, suggestion

__all__ = [
    'AtLeastOne',
    'NotNegative',
    'Positive',
    'check_known',
    'convert',
    'parse',
]

Positive = Annotated[float, msgspec.Meta(gt=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]

Section = TypeVar('Section', bound=msgspec.Struct)


def parse(struct: type[Section], mapping: object, where: str) -> Section:
    """Turn a section of an option file into a struct.

    The fields' annotations define what is allowed: types, ``Literal`` choices, ranges such as ``Annotated[float,
    msgspec.Meta(gt=0)]``, and structs for nested sections. Numbers may be given as strings, since YAML reads ``2e-4``
    as a string. Relations between fields are checked in the struct's ``__post_init__``, which raises an ``InputError``
    with the field's name as ``option``.

    Args:
        struct: The struct's class.
        mapping: The section, keys to values.
        where: Name of the section for messages, e.g. ``'datasets.train'``; ``''`` for the whole file.

    Returns:
        An instance of ``struct``.

    Raises:
        InputError: An unknown, missing or badly typed option, or one out of its range.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"'{where}' must be a section of options, not {quoted(mapping)}.", where)
    check_known(mapping, where, struct)
    values = {}
    for key, field in _fields(struct).items():
        if key in mapping:
            values[field.name] = convert(mapping[key], field.type, dotted(where, key))
        elif field.required:
            path = dotted(where, key)
            raise InputError(f"Option '{path}' is missing: add it to the option file.", path)
    try:
        return struct(**values)
    except InputError as error:
        place = f"Options '{where}': " if where else ''
        raise InputError(f'{place}{error}', dotted(where, error.option)) from None


def check_known(mapping: Mapping[str, Any], where: str, struct: type[msgspec.Struct]) -> None:
    """Check only the names in a section.

    Args:
        mapping: The section.
        where: Its name, for messages.
        struct: Declares the options.

    Raises:
        InputError: Unknown name.
    """
    fields = _fields(struct)
    for key in mapping:
        if key not in fields:
            path = dotted(where, key)
            raise InputError(f"Unknown option '{path}'. {suggestion(str(key), fields)}", path)


def _fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def convert(value: Any, kind: Any, where: str) -> Any:
    """Convert the value of one option to a type, as ``parse`` does.

    Raises:
        InputError: It has the wrong type, is out of range, or is not finite.
    """
    section = next((k for k in _alternatives(kind) if isinstance(k, type) and issubclass(k, msgspec.Struct)), None)
    if section is not None and isinstance(value, Mapping):
        return parse(section, value, where)
    try:
        result = msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"Option '{where}': {_explain(value, kind, str(error))}", where) from None
    if any(isinstance(number, float) and not math.isfinite(number) for number in _leaves(result)):
        raise InputError(f"Option '{where}' must be finite, but is {quoted(value)}.", where)
    return result


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


_WORDS = {
    'int': 'a whole number',
    'float': 'a number',
    'str': 'text',
    'bool': 'true or false',
    'array': 'a list',
    'object': 'a section',
    'null': 'none',
}
"""Names of types in msgspec's messages, in the terms of an option file."""


def _explain(value: Any, kind: Any, message: str) -> str:
    """Return what is wrong with ``value``, in the terms of an option file."""
    choices = [choice for k in _alternatives(kind) if get_origin(k) is Literal for choice in get_args(k)]
    others = [k for k in _alternatives(kind) if get_origin(k) is not Literal and k is not type(None)]
    if choices and others:
        return f'expected {" or ".join([*map(_in_words, others), *map(repr, choices)])}, but it is {quoted(value)}.'
    if choices:
        return f'{quoted(value)} is not one of its values. {suggestion(str(value), map(str, choices))}'
    wanted = re.sub(r', got `\w+`', '', message).replace('$', 'value')
    wanted = re.sub(r'`([^`]*)`', lambda kinds: ' or '.join(_WORDS.get(k, k) for k in kinds[1].split(' | ')), wanted)
    return f'{wanted[0].lower()}{wanted[1:]}, but it is {quoted(value)}.'


def _in_words(kind: Any) -> str:
    """Return a type as text, e.g. ``a number >= 0 and <= 1``."""
    info = msgspec.inspect.type_info(kind)
    bounds = {'ge': '>=', 'gt': '>', 'le': '<=', 'lt': '<'}
    given = {sign: getattr(info, bound, None) for bound, sign in bounds.items()}
    limits = ' and '.join(f'{sign} {limit}' for sign, limit in given.items() if limit is not None)
    name = type(info).__name__.removesuffix('Type').lower()
    return f'{_WORDS.get(name, name)} {limits}'.rstrip()
