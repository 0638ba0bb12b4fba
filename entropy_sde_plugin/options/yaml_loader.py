"""Option files as YAML: text, numbers, lists and sections, every key once; nothing in them is executed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from entropy_sde_plugin.errors import InputError, nearest, shown

__all__ = ['OptionLoader', 'wrong_for_basicsr']

_MOST_VALUES = 100_000
"""Keys and values of a file, its aliases written out: a page of text can stand for more than any memory holds."""

_HIGHEST_SEED = 2**32 - 1 - 2**16
"""NumPy's, with room for the ranks that BasicSR adds."""


class OptionLoader(yaml.SafeLoader):
    """A safe loader that keeps the order of keys, as BasicSR's does, and objects in one line.

    Args:
        stream: An open text file, or text.

    Raises:
        InputError: It is no UTF-8 text, or holds characters that YAML does not know.
    """

    def __init__(self, stream: Any) -> None:
        file = getattr(stream, 'name', 'the option file')
        try:
            super().__init__(stream if isinstance(stream, str) else stream.read())
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
        sections = self.construct_document(node)  # which sees that keys are text
        options = TopLevel(sections, self.name, {key.value: key.start_mark.line + 1 for key, _ in node.value})
        for path, wanted in wrong_for_basicsr(options):
            mark = _find(node, path).start_mark
            raise yaml.constructor.ConstructorError(problem=f"'{'.'.join(path)}' must be {wanted}", problem_mark=mark)
        return options

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # `!!float abc`, 2024-99-99
            raise yaml.constructor.ConstructorError(problem=str(error), problem_mark=node.start_mark) from None

    def construct_section(self, node: yaml.MappingNode) -> OrderedDict[str, Any]:
        """A section; of a key that stands twice YAML's own loaders take the last in silence."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != 'tag:yaml.org,2002:str':
                problem = f'a key must be text, but it is {shown(getattr(key, "value", None))}'
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            if key.value in lines:
                problem = f"'{key.value}' stands in line {lines[key.value]} already"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return OrderedDict(self.construct_pairs(node))


class TopLevel(OrderedDict[str, Any]):
    """All sections of a file. BasicSR's parser asks for some without seeing whether they are there.

    Args:
        options: The sections.
        file: Name of the file.
        lines: Where each of them begins.
    """

    def __init__(self, options: Mapping[str, Any] = {}, file: str = '', lines: Mapping[str, int] = {}) -> None:
        super().__init__(options)  # a copy is made without arguments
        self.file = file
        self.lines = lines

    def __missing__(self, key: str) -> Any:
        near = nearest(key, self.lines)
        place = f'{self.file}, line {self.lines[near]}' if near else self.file
        slip = f" Is '{near}' a slip?" if near else ''
        raise InputError(f"{place}: Option '{key}' is missing: add it to the option file.{slip}")


OptionLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, OptionLoader.construct_section)


def _count(node: yaml.Node, counts: dict[int, int | None]) -> int:
    """Count what a node stands for, itself and what is below it, aliases written out.

    Args:
        node: A node.
        counts: Counts of the nodes that are done, by identity; none for those that contain this one.

    Raises:
        ConstructorError: The node contains itself, or stands for too much.
    """
    if id(node) not in counts:
        counts[id(node)] = None
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        counts[id(node)] = 1 + sum(_count(part, counts) for part in parts)
    count = counts[id(node)]
    if count is None or count > _MOST_VALUES:
        problem = (
            'a value contains itself' if count is None else f'more than {_MOST_VALUES} values, aliases written out'
        )
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
    return count


def wrong_for_basicsr(options: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where BasicSR's parser, which checks nothing, would stumble: the path of an option and what it must be."""

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
    """The key of an option."""
    key, value = next(pair for pair in section.value if pair[0].value == path[0])
    return _find(value, path[1:]) if path[1:] else key
