"""Write the table of all options and the JSON schema for editors, both from the structs that check the options.

    python scripts/tools/document_options.py [ROOT]

ROOT, the working directory by default, is that of the repository: it gets ``docs/options.md`` and
``options/schema.json``. Types, ranges and defaults are those of the
structs' fields, and of the arguments of the network, the loss and the metrics; meanings are their docstrings.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec
from msgspec import inspect as types

from entropy_sde_plugin import register

register()
from basicsr.utils.registry import DATASET_REGISTRY, METRIC_REGISTRY  # noqa: E402  BasicSR is there from here on

from entropy_sde_plugin.data import options as dataset_options  # noqa: E402
from entropy_sde_plugin.errors import InputError, report_input_errors  # noqa: E402
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy  # noqa: E402
from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss  # noqa: E402
from entropy_sde_plugin.models.irsde import IRSDEModel  # noqa: E402
from entropy_sde_plugin.networks import ConditionalNAFNet  # noqa: E402
from entropy_sde_plugin.options import optimisation, option_file  # noqa: E402
from entropy_sde_plugin.options.diffusion import SamplerOptions, SDEOptions  # noqa: E402
from entropy_sde_plugin.options.training import TrainOptions  # noqa: E402
from entropy_sde_plugin.options.validation import ValOptions  # noqa: E402
from entropy_sde_plugin.utils.atomic_file import atomic_file  # noqa: E402

Struct = type[msgspec.Struct]

HEAD = """\
# Options

Written by `python scripts/tools/document_options.py` from what checks the options; do not edit. Editors with a
YAML language server read the same from `options/schema.json`: the first line of an option file,
`# yaml-language-server: $schema=schema.json`, points to it.

An unknown or misspelt option, one out of its range and a contradiction end a command before anything is loaded. The
message names the line of the file. Options of other networks, losses, data sets, metrics and optimisers are their
arguments.
"""


# --- meanings ---------------------------------------------------------------------------------------------------------


def field_meanings(struct: Struct) -> dict[str, str]:
    """The texts that stand below the fields of a struct and of its bases."""
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


def argument_meanings(documented: Callable[..., Any]) -> dict[str, str]:
    """The entries of a docstring's section ``Args``."""
    section = re.search(r'^Args:\n(.*?)(?=^\S|\Z)', inspect.getdoc(documented) or '', re.MULTILINE | re.DOTALL)
    entries = re.findall(r'^    (\w+): (.*(?:\n {8}.*)*)', section[1] if section else '', re.MULTILINE)
    return {name: one_line(text) for name, text in entries}


def one_line(text: str) -> str:
    """Text of a docstring as one line of Markdown."""
    text = re.sub(r' \((see )?:\w+:`.*?`\)', '', text)  # references to modules
    return ' '.join(text.split()).replace('``', '`')


class Section:
    """A part of an option file: its struct, and what its options mean."""

    def __init__(self, struct: Struct, meanings: dict[str, str], title: str) -> None:
        self.struct = struct
        self.meanings = meanings
        self.title = title

    @classmethod
    def of_struct(cls, struct: Struct) -> Section:
        """The options that a struct declares."""
        return cls(struct, field_meanings(struct), one_line(inspect.getdoc(struct) or ''))

    @classmethod
    def of_arguments(cls, function: Callable[..., Any], where: str, *documented: Callable[..., Any]) -> Section:
        """The arguments that an option file hands to a function or class, named by ``type``.

        Args:
            function: What is called.
            where: Section of the option file.
            documented: Whose docstrings explain the arguments, the later ones first; ``function`` by default.
        """
        hints = get_type_hints(inspect.unwrap(function.__init__ if inspect.isclass(function) else function))
        name = function.__name__
        fields: list[Any] = [('type', Literal[name])]
        for argument in inspect.signature(function).parameters.values():
            if argument.name not in ('img', 'img2'):  # which BasicSR gives to metrics
                default = () if argument.default is argument.empty else (argument.default,)
                fields.append((argument.name, hints[argument.name], *default))
        meanings = {key: text for each in documented or (function,) for key, text in argument_meanings(each).items()}
        struct = msgspec.defstruct(name, fields, kw_only=True)
        return cls(struct, {'type': 'What these options belong to.', **meanings}, f'`{where}` of type `{name}`.')

    def fields(self) -> Iterator[types.Field]:
        """What a user may write, in the struct's order."""
        info = types.type_info(self.struct)
        assert isinstance(info, types.StructType)
        added = getattr(self.struct, 'added_by_basicsr', ())
        return (field for field in info.fields if field.name not in added)


def our_metrics() -> list[Section]:
    """The registered metrics of this package."""
    functions = [function for _, function in sorted(METRIC_REGISTRY)]
    ours = [f for f in functions if inspect.unwrap(f).__module__.startswith('entropy_sde_plugin.metrics.')]
    sections = [Section.of_arguments(function, 'val.metrics.<name>') for function in ours]
    for section in sections:
        better = ('better', Literal['higher', 'lower'], 'higher')
        section.struct = msgspec.defstruct(section.struct.__name__, [better], bases=(section.struct,), kw_only=True)
        section.meanings['better'] = 'Which value BasicSR keeps as the best.'
    return sections


def our_datasets() -> dict[str, Section]:
    """The options of the registered datasets of this package, by the datasets' names."""
    kinds = {name: kind for name, kind in sorted(DATASET_REGISTRY) if kind.__module__.startswith('entropy_sde_plugin.')}
    return {name: Section.of_struct(kind.Options) for name, kind in kinds.items()}


TOP = Section(
    option_file.top_level(IRSDEModel),
    field_meanings(option_file.OptionFile) | field_meanings(IRSDEModel.Options),
    f'The top level of an option file of an `{IRSDEModel.__name__}`.',
)
SCHEDULES = [Section.of_struct(struct) for struct in dict.fromkeys(optimisation.SCHEDULES.values())]
NETWORK = Section.of_arguments(ConditionalNAFNet, 'network_g')
LOSS = Section.of_arguments(
    SpatialEntropyLoss, 'train.pixel_opt` and `train.entropy_opt', spatial_entropy, SpatialEntropyLoss
)


# --- the table --------------------------------------------------------------------------------------------------------


def table(section: Section, inherited: frozenset[str] = frozenset()) -> str:
    """A section's heading and its options in rows; those in ``inherited`` stand elsewhere."""
    rows = [
        f'| `{field.name}` | {type_words(field.type)} | {default_words(field)} | {section.meanings[field.name]} |'
        for field in section.fields()
        if field.name not in inherited
    ]
    heading = [f'\n## {section.title.rstrip(".")}\n', '| Option | Type | Default | Meaning |', '|---|---|---|---|']
    return '\n'.join([*heading, *rows, ''])


def type_words(kind: types.Type) -> str:
    """A type and its range in words."""
    if isinstance(kind, types.UnionType):
        return ' or '.join(type_words(member) for member in kind.types)
    if isinstance(kind, types.LiteralType):
        return ', '.join(f'`{json.dumps(value).strip(chr(34))}`' for value in kind.values)
    if isinstance(kind, types.TupleType):
        return f'[{", ".join(type_words(item) for item in kind.item_types)}]'
    if isinstance(kind, types.VarTupleType | types.ListType | types.CollectionType):
        return f'[{type_words(kind.item_type)}, …]'
    names = {
        types.IntType: 'whole number', types.FloatType: 'number', types.StrType: 'text', types.NoneType: 'none',
        types.BoolType: 'true or false', types.StructType: 'section', types.DictType: 'section',
    }  # fmt: skip
    bounds = [
        f'{sign} {bound:g}'
        for sign, name in (('≥', 'ge'), ('>', 'gt'), ('≤', 'le'), ('<', 'lt'))
        if (bound := getattr(kind, name, None)) is not None
    ]
    return ' '.join([names[type(kind)], ', '.join(bounds)]).strip()


def default_words(field: types.Field) -> str:
    """The default as it would stand in an option file."""
    if field.required:
        return 'needed'
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if isinstance(default, msgspec.Struct):
        return 'its defaults'
    return 'none' if default in (None, '') else f'`{json.dumps(default, ensure_ascii=False).strip(chr(34))}`'


def dataset_tables() -> Iterator[str]:
    """The options of datasets, each where it is declared."""
    shared = (dataset_options.DatasetOptions, dataset_options.TrainingCrops, dataset_options.PairOptions)
    for struct in (dataset_options.IOBackend, *shared):
        yield table(Section.of_struct(struct), of_bases(struct))
    for name, section in our_datasets().items():
        section.title = f'`datasets.<phase>` of type `{name}`.'
        yield table(section, of_bases(section.struct))


def of_bases(struct: Struct) -> frozenset[str]:
    """The options that a struct has from its bases."""
    bases = [base for base in struct.__mro__[1:] if issubclass(base, msgspec.Struct) and base is not msgspec.Struct]
    return frozenset(name for base in bases for name in base.__struct_fields__)


def page() -> str:
    """The table of all options."""
    of = Section.of_struct
    first = [TOP, of(SDEOptions), of(SamplerOptions)]
    last = [NETWORK, of(option_file.PathOptions), of(TrainOptions), *SCHEDULES, LOSS]
    last += [of(ValOptions), *our_metrics()]
    last += [of(option_file.LoggerOptions), of(option_file.DistOptions)]
    return ''.join([HEAD, *map(table, first), *dataset_tables(), *map(table, last)])


# --- the JSON schema --------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an option file."""
    datasets, metrics = our_datasets(), {section.struct.__name__: section for section in our_metrics()}
    schedules = {name: Section.of_struct(struct) for name, struct in optimisation.SCHEDULES.items()}
    network, loss = {'ConditionalNAFNet': NETWORK}, {'SpatialEntropyLoss': LOSS}
    roots = [TOP, *datasets.values(), *schedules.values(), *metrics.values(), NETWORK, LOSS]
    structs = list(dict.fromkeys(section.struct for section in roots))
    _, definitions = msgspec.json.schema_components(structs, ref_template='#/$defs/{name}')
    known = {section.struct.__name__: section for section in roots}
    for struct in (SDEOptions, SamplerOptions, TrainOptions, dataset_options.IOBackend,
                   option_file.PathOptions, ValOptions, option_file.LoggerOptions,
                   option_file.DistOptions):  # fmt: skip
        known[struct.__name__] = Section.of_struct(struct)
    for name, definition in definitions.items():
        describe(definition, known[name])
    top, train, val = (definitions[name]['properties'] for name in ('OptionFile', 'TrainOptions', 'ValOptions'))
    top['datasets']['additionalProperties'] = by_type(datasets)
    top['network_g'] |= by_type(network)
    train['scheduler'] |= by_type(schedules)
    train['pixel_opt'] |= by_type(loss)
    train['entropy_opt'] |= by_type(loss)
    val['metrics']['anyOf'][0]['additionalProperties'] = by_type(metrics)
    draft = 'https://json-schema.org/draft/2020-12/schema'
    return {'$schema': draft, '$ref': '#/$defs/OptionFile', '$defs': definitions}


def describe(definition: dict[str, Any], section: Section) -> None:
    """Complete what msgspec says of a struct: the meanings, and that nothing else is allowed."""
    names = [field.name for field in section.fields()]
    properties = definition['properties']
    definition['properties'] = {name: properties[name] | {'description': section.meanings[name]} for name in names}
    definition['required'] = [name for name in definition.get('required', ()) if name in names]
    definition['additionalProperties'] = False
    definition['description'] = section.title


def by_type(sections: dict[str, Section]) -> dict[str, Any]:
    """The schema of a section whose ``type`` says which options it has; other types have theirs."""
    return {
        'allOf': [
            {
                'if': {'properties': {'type': {'const': name}}, 'required': ['type']},
                'then': {'$ref': f'#/$defs/{section.struct.__name__}'},
            }
            for name, section in sections.items()
        ]
    }


WRITTEN = {
    'docs/options.md': page,
    'options/schema.json': lambda: json.dumps(schema(), indent=2, ensure_ascii=False),
}
"""The files, below the repository's root, and what makes their content."""


def main() -> None:
    """Write both files."""
    report_input_errors()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', nargs='?', type=Path, default=Path(), metavar='ROOT')
    root = parser.parse_args().root
    for name, text in WRITTEN.items():
        if not (root / name).parent.is_dir():
            raise InputError(f"ROOT: there is no folder '{(root / name).parent}'.")
        with atomic_file(root / name) as out:
            out.write((text().rstrip('\n') + '\n').encode())


if __name__ == '__main__':
    main()
