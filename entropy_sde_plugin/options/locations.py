"""Where an option was given, and errors that say so."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import yaml

from entropy_sde_plugin.errors import InputError, nearest

__all__ = ['Locations', 'one_line_errors']


class Locations:
    """The lines of an option file, and the overrides of a command line.

    Args:
        file: The option file, as named on the command line.
        root: Its top level.
        overrides: The arguments of ``--force_yml``, e.g. ``['train:total_iter=100']``.
    """

    def __init__(self, file: str, root: yaml.MappingNode, overrides: Sequence[str]) -> None:
        self._file = file
        self._root = root
        self._overrides = {text: text.split('=')[0].strip().replace(':', '.') for text in overrides}

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Prefix the message of a wrong option with its place: the file and the line, or the override.

        Raises:
            InputError: E.g. ``options/x.yml, line 12: Unknown option 'sampler.stps'. …``. Each line of
                a longer message begins like this.
        """
        try:
            yield
        except InputError as error:
            place = self.of(error.option)
            raise InputError([f'{place}: {fault}' for fault in error.faults], option=error.option) from None

    def of(self, option: str) -> str:
        """Return where an option was given; for a missing one, where its section was."""
        for text, path in reversed(self._overrides.items()):
            if f'{option}.'.startswith(f'{path}.'):
                return f'--force_yml {text}'
        line = _line(self._root, option)
        place = self._file if line is None else f'{self._file}, line {line}'
        within = [text for text, path in self._overrides.items() if path.startswith(f'{option}.')]
        return f'{place}, and --force_yml {" ".join(within)}' if within else place

    def of_missing(self, section: str) -> tuple[str, str | None]:
        """Return the place and the spelling of the top-level section that a missing one may be misspelt as."""
        near = nearest(section, [key.value for key, _ in self._root.value])
        return self.of(near) if near else self._file, near


def _line(section: yaml.Node, option: str) -> int | None:
    """Return the line, counted from 1, of an option in a section, or of the innermost section that exists."""
    for key, value in section.value if isinstance(section, yaml.MappingNode) else ():
        if f'{option}.'.startswith(f'{key.value}.'):
            below = option.removeprefix(f'{key.value}').removeprefix('.')
            return _line(value, below) or key.start_mark.line + 1
    return None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report in one line why an option file cannot be read.

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
