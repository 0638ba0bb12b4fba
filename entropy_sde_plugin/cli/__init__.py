"""The ``entropy-sde`` command: one module for each verb, which calls the package that does the work."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from entropy_sde_plugin import __version__
from entropy_sde_plugin.errors import InputError, print_error
from entropy_sde_plugin.utils import streams
from entropy_sde_plugin.utils.waiting import wait_passively

__all__ = ['main']

VERBS = ('demo', 'enhance', 'evaluate', 'report', 'demo_page', 'convert', 'export', 'prepare')
"""Modules of this package; each has ``add_verb(verbs)``, which adds a parser whose ``run`` default does the work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 1 after one line that says what was wrong; 130 on Ctrl-C."""
    streams.secure()
    wait_passively()
    options = _parser().parse_args(arguments)
    warnings.formatwarning = lambda message, *_, **__: f'warning: {message}\n'  # without the line of code that warned
    try:
        options.run(options)
        sys.stdout.flush()  # a full disk shows here
    except InputError as error:
        print_error(error)
        return 1
    except OSError as error:
        print_error(f"'{error.filename}': {error.strerror}." if error.filename else error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='entropy-sde', description='Enhance low-light images, and prepare, train, evaluate and convert.'
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    verbs = parser.add_subparsers(title='verbs', required=True, metavar='VERB')
    for name in VERBS:
        import_module(f'{__name__}.{name}').add_verb(verbs)
    return parser
