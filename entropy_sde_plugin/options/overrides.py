"""``--force_yml``: overrides are applied when the file is read, and checked like the file."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.options.yaml_loader import OptionLoader, wrong_for_basicsr

__all__ = ['overriding_loader']


@dataclass(frozen=True)
class Override:
    """One ``KEY=VALUE``.

    Attributes:
        text: The argument as given.
        path: The keys, e.g. ``('train', 'total_iter')``.
        value: The value as BasicSR parses it.
    """

    text: str
    path: tuple[str, ...]
    value: Any

    @classmethod
    def read(cls, text: str) -> Override:
        """Parse an argument.

        Raises:
            InputError: It is not an assignment, or its value is not YAML.
        """
        if not re.fullmatch(r'[^=]+=[^=]*', text):
            raise InputError(f"--force_yml: '{text}' must be KEY=VALUE, e.g. train:total_iter=100.")
        keys, value = text.split('=')
        try:
            return cls(text, tuple(keys.strip().split(':')), _value(value.strip()))
        except (ValueError, RecursionError, MemoryError, yaml.YAMLError) as error:
            reason = getattr(error, 'problem', None) or ' '.join(str(error).split())
            raise InputError(f'--force_yml {text}: the value cannot be read: {reason}.') from None

    def apply(self, options: Mapping[str, Any]) -> None:
        """Set the option, which may be new; its sections must exist.

        Raises:
            InputError: Unknown section, or the value would break BasicSR's parser.
        """
        section: Any = options
        for depth, key in enumerate(self.path[:-1], 1):
            if key not in section:
                raise InputError(f"--force_yml {self.text}: there is no section '{key}'. {suggestion(key, section)}")
            section = section[key]
            if not isinstance(section, dict):
                raise InputError(
                    f"--force_yml {self.text}: '{'.'.join(self.path[:depth])}' is not a section of options."
                )
        section[self.path[-1]] = self.value
        for path, wanted in wrong_for_basicsr(options):
            raise InputError(f"--force_yml {self.text}: '{'.'.join(path)}' must be {wanted}.")


def _value(text: str) -> Any:
    """Parse a value as BasicSR does, but without evaluating lists as Python."""
    if not text.startswith('['):
        from basicsr.utils.options import _postprocess_yml_value

        return _postprocess_yml_value(text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):  # unquoted words
        return yaml.safe_load(text)


@contextmanager
def overriding_loader() -> Iterator[Sequence[str]]:
    """Remove ``--force_yml`` from the command line and apply its overrides when BasicSR reads the option file.

    P+M options.py:113. Symptoms: BasicSR evaluates lists as Python code; a value of another type or an
    unknown key ends in a traceback; the seed is set before overrides are read; of two ``--force_yml`` the first has no
    effect.

    Yields:
        The overrides as given.

    Raises:
        InputError: An override cannot be parsed.
    """
    import basicsr.utils.options

    parser = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS)
    parser.add_argument('--force_yml', nargs='+', action='extend', default=[])
    known, others = parser.parse_known_args(sys.argv[1:])
    loader = type('Loader', (OptionLoader,), {'overrides': [Override.read(text) for text in known.force_yml]})
    given, original = sys.argv, basicsr.utils.options.ordered_yaml
    sys.argv = [given[0], *others]
    basicsr.utils.options.ordered_yaml = lambda: (loader, original()[1])
    try:
        yield known.force_yml
    finally:
        sys.argv, basicsr.utils.options.ordered_yaml = given, original
