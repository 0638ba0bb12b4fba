"""Where an option was written, and errors that say so."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.yaml_loader import OptionLoader
from entropy_sde_plugin.utils.schema import OptionError

__all__ = ['one_line_option_errors', 'read_numbers', 'say_where']


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
    except OSError as error:
        if error.filename is None or not any(argument.endswith(str(error.filename)) for argument in sys.argv):
            raise
        fault = 'does not exist' if isinstance(error, FileNotFoundError) else f'cannot be read ({error.strerror})'
        raise InputError(f"The option file '{error.filename}' {fault}.") from None
    except KeyError as error:
        if str(error.args[0]).startswith('SLURM_'):
            raise
        raise InputError(f'Option {error} is missing: add it to the option file.') from None


@contextmanager
def say_where(file: str, overrides: Sequence[str]) -> Iterator[None]:
    """Put before the message of a wrong option where it was written: the file and the line, or the override.

    Args:
        file: The option file, as named on the command line.
        overrides: What stood behind ``--force_yml``, e.g. ``['train:total_iter=100']``.

    Raises:
        InputError: In place of an ``OptionError``, e.g. ``options/x.yml, line 12: Unknown option 'sampler.stps'. …``.
            Each of several lines begins so.
    """
    try:
        yield
    except OptionError as error:
        place = _place(file, overrides, error.option)
        raise InputError('\n'.join(f'{place}: {line}' for line in str(error).splitlines())) from None


def _place(file: str, overrides: Sequence[str], option: str) -> str:
    """Where an option was written; for one that is missing, the section it belongs into."""
    paths = {override: override.split('=')[0].strip().replace(':', '.') for override in overrides}
    for override, path in reversed(paths.items()):
        if f'{option}.'.startswith(f'{path}.'):
            return f'--force_yml {override}'
    root = yaml.compose(Path(file).read_text(encoding='utf-8'), Loader=OptionLoader)
    line = _line(root, option)
    place = file if line is None else f'{file}, line {line}'
    within = [override for override, path in paths.items() if path.startswith(f'{option}.')]
    return f'{place}, and --force_yml {" ".join(within)}' if within else place


def _line(section: yaml.Node, option: str) -> int | None:
    """The line, counted from 1, of an option below a section, or of the last section on the way that is there."""
    for key, value in section.value if isinstance(section, yaml.MappingNode) else ():
        if f'{option}.'.startswith(f'{key.value}.'):
            below = option.removeprefix(f'{key.value}').removeprefix('.')
            return _line(value, below) or key.start_mark.line + 1
    return None


def read_numbers(opt: dict[str, Any]) -> None:
    """Turn text that is a number into one: in the sections ``train``, ``val`` and ``logger``, and where BasicSR reads
    how many GPUs and samples there are; there also 3.0 into 3.

    P+M options.py: PyYAML follows YAML 1.1, where ``2e-4`` is text, and ``--force_yml`` knows no exponent and no sign.
    Symptom: ``'<=' not supported between instances of 'float' and 'str'`` from the optimiser.
    """
    for section in ('train', 'val', 'logger'):
        if section in opt:
            opt[section] = _with_numbers(opt[section])
    for dataset in opt['datasets'].values():
        if 'dataset_enlarge_ratio' in dataset:
            dataset['dataset_enlarge_ratio'] = _with_numbers(dataset['dataset_enlarge_ratio'])
        _count(dataset, 'batch_size_per_gpu', 'num_worker_per_gpu', 'num_prefetch_queue')
    _count(opt, 'num_gpu')


def _count(section: dict[str, Any], *keys: str) -> None:
    """Turn values that count something, and stand there as 3.0 or as text, into whole numbers."""
    for key in keys:
        value = _with_numbers(section.get(key))
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            section[key] = value if isinstance(value, bool) else int(value)


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
