"""Option files as YAML: strings, numbers, lists and sections. Every key occurs once, and nothing is executed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import yaml

from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.options.locations import Locations
from entropy_sde_plugin.options.numbers import read_numbers
from entropy_sde_plugin.options.run_options import RunOptions

__all__ = ['OptionLoader', 'wrong_for_basicsr']

_MOST_VALUES = 100_000
"""Maximum number of keys and values after expanding aliases: a short file can expand beyond any memory."""

_HIGHEST_SEED = 2**32 - 1 - 2**16
"""NumPy's maximum, less room for the ranks that BasicSR adds."""


class Override(Protocol):
    """A change of one option on the command line."""

    text: str

    def apply(self, options: Mapping[str, Any]) -> None:
        """Set the option."""


class OptionLoader(yaml.SafeLoader):
    """A safe loader that keeps the order of keys, as BasicSR's does, and reports errors in one line.

    Returns :class:`~entropy_sde_plugin.options.run_options.RunOptions`: the option file with the overrides applied.

    Args:
        stream: An open text file, or text.

    Attributes:
        overrides: The overrides of the command line; set by a subclass.

    Raises:
        InputError: It is not UTF-8 text, or holds characters that YAML does not allow.
    """

    overrides: Sequence[Override] = ()

    def __init__(self, stream: Any) -> None:
        file = getattr(stream, 'name', 'the option file')
        try:
            super().__init__(stream if isinstance(stream, str) else _text(stream))
        except UnicodeDecodeError as error:
            raise InputError(f'{file}: byte {error.start} is not UTF-8 text; save the file as UTF-8.') from None
        except yaml.reader.ReaderError as error:
            raise InputError(
                f'{file}: character {error.position} is U+{error.character:04X}, which YAML does not allow.'
            ) from None
        self.name = file

    def get_single_data(self) -> Any:
        try:
            node = self.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                raise yaml.constructor.ConstructorError(
                    problem='expected keys and sections', problem_mark=node.start_mark if node else self.get_mark()
                )
            _count(node, {})
        except RecursionError:
            raise InputError(f'{self.name}: lists or sections are nested too deep.') from None
        options = RunOptions(self.construct_document(node))  # this checks that keys are strings
        for path, wanted in wrong_for_basicsr(options):
            mark = _find(node, path).start_mark
            raise yaml.constructor.ConstructorError(problem=f"'{'.'.join(path)}' must be {wanted}", problem_mark=mark)
        for override in self.overrides:
            override.apply(options)
        read_numbers(options)
        options.seed_is_given = options.get('manual_seed') is not None
        options.locations = Locations(self.name, node, [override.text for override in self.overrides])
        return options

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # `!!float abc`, 2024-99-99
            raise yaml.constructor.ConstructorError(problem=str(error), problem_mark=node.start_mark) from None

    def construct_section(self, node: yaml.MappingNode) -> OrderedDict[str, Any]:
        """Build a section. YAML's own loaders silently use the last of two values for a key."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != 'tag:yaml.org,2002:str':
                problem = f'a key must be text, but it is {quoted(getattr(key, "value", None))}'
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            if key.value in lines:
                problem = f"'{key.value}' is already given in line {lines[key.value]}"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return OrderedDict(self.construct_pairs(node))


def _text(stream: Any) -> str:
    """Read a text file as UTF-8: BasicSR has opened it in the encoding of the locale."""
    return stream.buffer.read().decode() if hasattr(stream, 'buffer') else stream.read()


OptionLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, OptionLoader.construct_section)


def _count(node: yaml.Node, counts: dict[int, int | None]) -> int:
    """Count a node and its descendants, with aliases expanded.

    Args:
        node: A node.
        counts: Counts of finished nodes, by identity; None for nodes that contain this one.

    Raises:
        ConstructorError: The node contains itself, or too many others.
    """
    if id(node) not in counts:
        counts[id(node)] = None
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counts[id(node)] = 1 + sum(_count(part, counts) for part in parts)
    count = counts[id(node)]
    if count is None or count > _MOST_VALUES:
        problem = (
            'a value contains itself' if count is None else f'more than {_MOST_VALUES} values after expanding aliases'
        )
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
    return count


def wrong_for_basicsr(options: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the options that would break BasicSR's parser, which checks nothing, and what they must be."""

    def is_section(value: Any) -> bool:
        return isinstance(value, OrderedDict)

    if not isinstance(options.get('name', ''), str):
        yield ('name',), 'text'
    seed = options.get('manual_seed')
    if seed is not None and not (type(seed) is int and 0 <= seed <= _HIGHEST_SEED):
        yield ('manual_seed',), f'a whole number in 0…{_HIGHEST_SEED}'
    for name in ('datasets', 'path'):
        if name in options and not is_section(options[name]):
            yield (name,), 'a section of options'
    for name, dataset in options.get('datasets', {}).items():
        if not is_section(dataset):
            yield ('datasets', name), 'a section of options'
        for key in ('dataroot_gt', 'dataroot_lq'):
            if not isinstance(dataset.get(key), str | None):
                yield ('datasets', name, key), 'a path'
    for key, value in options.get('path', {}).items():
        if ('resume_state' in key or 'pretrain_network' in key) and not isinstance(value, str | None):
            yield ('path', key), 'a path'
    for name in ('train', 'val', 'logger'):
        if not isinstance(options.get(name), OrderedDict | None):
            yield (name,), 'a section of options'


def _find(section: yaml.Node, path: tuple[str, ...]) -> yaml.Node:
    """Return the key of an option."""
    key, value = next(pair for pair in section.value if pair[0].value == path[0])
    return _find(value, path[1:]) if path[1:] else key
