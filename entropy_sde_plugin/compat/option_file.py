"""Mends of reading option files."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import basicsr.utils.options
import yaml

from entropy_sde_plugin.compat.patching import replace
from entropy_sde_plugin.errors import InputError

__all__ = ['mend_ordered_yaml', 'one_line_option_errors', 'read_numbers']


def mend_ordered_yaml() -> None:
    """Read option files without executing anything in them.

    P+M options.py:12. Symptom: the loader obeys ``!!python/object/apply:os.system``.
    """
    original = basicsr.utils.options.ordered_yaml
    if not issubclass(original()[0], yaml.constructor.FullConstructor):  # which knows !!python, as its heirs do
        return

    def ordered_yaml() -> tuple[type, type]:
        return OptionLoader, original()[1]

    replace(original, ordered_yaml)


class OptionLoader(yaml.SafeLoader):
    """A safe loader that keeps the order of keys, as BasicSR's does."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            mark = node.start_mark if node else None
            raise yaml.constructor.ConstructorError(problem='expected keys and sections', problem_mark=mark)
        return self.construct_document(node)


OptionLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: OrderedDict(loader.construct_pairs(node)),
)


@contextmanager
def one_line_option_errors() -> Iterator[None]:
    """Say in one line what is wrong with an option file.

    P+M options.py. Symptom: a traceback through BasicSR and PyYAML for a misspelt path or a missing colon.
    """
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f'{mark.name}, line {mark.line + 1}' if mark else 'the option file'
        raise InputError(f'{place}: {error.problem or error.context}.') from None
    except FileNotFoundError as error:
        if not str(error.filename).endswith(('.yml', '.yaml')):
            raise
        raise InputError(f"The option file '{error.filename}' does not exist.") from None
    except KeyError as error:
        if str(error.args[0]).startswith('SLURM_'):
            raise
        raise InputError(f'Option {error} is missing: add it to the option file (--force_yml adds none).') from None


def read_numbers(opt: dict[str, Any]) -> None:
    """Turn text that is a number into one, in the sections ``train``, ``val`` and ``logger``.

    P+M options.py: PyYAML follows YAML 1.1, where ``2e-4`` is text, and ``--force_yml`` knows no exponent and no sign.
    Symptom: ``'<=' not supported between instances of 'float' and 'str'`` from the optimiser.
    """
    for section in ('train', 'val', 'logger'):
        if section in opt:
            opt[section] = _with_numbers(opt[section])


def _with_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            value[key] = _with_numbers(value[key])
    elif isinstance(value, list):
        return [_with_numbers(item) for item in value]
    elif isinstance(value, str) and re.fullmatch(r'[-+]?\d+', value):
        return int(value)
    elif isinstance(value, str) and re.fullmatch(r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?', value):
        return float(value)
    return value
