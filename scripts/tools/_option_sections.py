"""The sections of an option file as the code declares them, with the meaning of each option."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_type_hints

import msgspec
from msgspec import inspect as types

__all__ = ['Section', 'inherited_fields', 'nested_structs', 'one_line']

Struct = type[msgspec.Struct]


class Section:
    """A part of an option file: its struct, and what its options mean."""

    def __init__(self, struct: Struct, meanings: dict[str, str], title: str) -> None:
        self.struct = struct
        self.meanings = meanings
        self.title = title

    @classmethod
    def of_struct(cls, struct: Struct, title: str = '') -> Section:
        """The options that a struct declares; the title is the first line of its docstring by default."""
        return cls(struct, _field_meanings(struct), title or one_line(inspect.getdoc(struct) or ''))

    @classmethod
    def of_arguments(cls, function: Callable[..., Any], where: str) -> Section:
        """The arguments that an option file passes to a function or class, named by ``type``.

        Args:
            function: What is called.
            where: Section of the option file, as Markdown.
        """
        hints = get_type_hints(inspect.unwrap(function.__init__ if inspect.isclass(function) else function))
        name = function.__name__
        fields: list[Any] = [('type', Literal[name])]
        for argument in inspect.signature(function).parameters.values():
            if argument.name not in ('img', 'img2'):  # BasicSR passes them to metrics
                default = () if argument.default is argument.empty else (argument.default,)
                fields.append((argument.name, hints[argument.name], *default))
        struct = msgspec.defstruct(name, fields, kw_only=True)
        meanings = {'type': 'Its registered name.', **_argument_meanings(function)}
        return cls(struct, meanings, f'{where} of type `{name}`.')

    def fields(self) -> Iterator[types.Field]:
        """What a user may write, in the struct's order."""
        info = types.type_info(self.struct)
        assert isinstance(info, types.StructType)
        added = getattr(self.struct, 'added_by_basicsr', ())
        return (field for field in info.fields if field.name not in added)


def nested_structs(structs: Iterable[Struct]) -> list[Struct]:
    """The structs in the types of the fields of ``structs``, at any depth, each once."""
    found: dict[Struct, None] = {}
    for struct in structs:
        info = types.type_info(struct)
        assert isinstance(info, types.StructType)
        for field in info.fields:
            members = field.type.types if isinstance(field.type, types.UnionType) else (field.type,)
            inner = [member.cls for member in members if isinstance(member, types.StructType)]
            found |= dict.fromkeys([*inner, *nested_structs(inner)])
    return list(found)


def inherited_fields(struct: Struct) -> frozenset[str]:
    """The options that a struct inherits and does not declare again, as with another default."""
    bases = [base for base in struct.__mro__[1:] if issubclass(base, msgspec.Struct) and base is not msgspec.Struct]
    declared = vars(struct).get('__annotations__', {})
    return frozenset(name for base in bases for name in base.__struct_fields__ if name not in declared)


def one_line(text: str) -> str:
    """Text of a docstring as one line of Markdown."""
    text = re.sub(r' \((see )?:\w+:`.*?`\)', '', text)  # references to modules
    return ' '.join(text.split()).replace('``', '`')


def _field_meanings(struct: Struct) -> dict[str, str]:
    """The docstrings of the fields of a struct and of its bases."""
    found: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if not issubclass(kind, msgspec.Struct) or kind is msgspec.Struct:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = one_line(str(text.value.value))
    return found


def _argument_meanings(documented: Callable[..., Any]) -> dict[str, str]:
    """The entries ``Args`` of a docstring, after those of the functions of its module that it refers to."""
    description, _, after = (inspect.getdoc(documented) or '').partition('\nArgs:\n')
    found: dict[str, str] = {}
    for name in re.findall(r':func:`~?\.?(?:\w+\.)*(\w+)`', description):
        if referred := getattr(sys.modules[documented.__module__], name, None):
            found |= _argument_meanings(referred)
    section = re.split(r'^(?=\S)', after, maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.findall(r'^    (\w+): (.*(?:\n {8}.*)*)', section, re.MULTILINE)
    return found | {name: one_line(text) for name, text in entries}
