"""The ``entropy-sde`` command: one module for each verb, which calls the package that does the work."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module

import shtab

from entropy_sde_plugin import __version__
from entropy_sde_plugin.cli.arguments import model_path, named_path
from entropy_sde_plugin.errors import InputError, print_error, printable
from entropy_sde_plugin.utils import console, signals, streams
from entropy_sde_plugin.utils.launchers import (
    is_follower,
    let_another_process_report,
    started_processes,
    usage_told_once,
)
from entropy_sde_plugin.utils.waiting import wait_passively

__all__ = ['main']

VERBS = ('demo', 'enhance', 'evaluate', 'report', 'demo_page', 'convert', 'export', 'prepare', 'calibrate', 'bench_gpu')
"""Modules of this package; each has ``add_verb(verbs)``, which adds a parser whose ``run`` default does the work."""


SHARING = ('enhance',)
"""Verbs that share their work among the processes of torchrun."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 1 after one line that says what was wrong; 130 on Ctrl-C.

    Args:
        arguments: By default those of this process, which SIGTERM then ends with 143; in another program, signals stay
            its own.
    """
    streams.secure()
    if arguments is None:
        signals.exit_on_sigterm()  # files and folders that are begun are deleted then, too
    wait_passively()
    try:
        _run(arguments)
        streams.check_output()
    except InputError as error:
        return _fail(error)
    except OSError as error:
        return _fail(printable(f"'{error.filename}': {error.strerror}." if error.filename else str(error)))
    except KeyboardInterrupt:
        return 130
    finally:
        if arguments is None:
            signals.end_on_sigterm()
    return 0


def _run(arguments: Sequence[str] | None) -> None:
    try:
        with usage_told_once():
            options = _parser().parse_args(arguments)
    except SystemExit as end:
        if not end.code:  # help, a version, a completion
            streams.check_output()
        raise
    with (
        _short_warnings(),
        console.quiet() if options.quiet else nullcontext(),
        _log_shown() if options.verbose else nullcontext(),
    ):
        _check_processes(options.verb)
        options.run(options)


def _check_processes(verb: str) -> None:
    """Reject several processes of a verb that does not share its work: each would do it all and write the same files.

    Raises:
        InputError: torchrun started several processes.
    """
    if verb not in SHARING and (count := started_processes('RANK', 'WORLD_SIZE')) > 1:
        raise InputError(f'torchrun started {count} processes, and {verb} runs in one: start it without torchrun.')


def _fail(message: object) -> int:
    """Print an error, where several processes share it in the first of them alone, and return the exit code."""
    if is_follower():
        let_another_process_report()
    print_error(message)
    return 1


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Print warnings in one line each, without the line of code that warned."""
    before, warnings.formatwarning = warnings.formatwarning, lambda message, *_, **__: f'warning: {message}\n'
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show on standard error what is logged as information."""
    logger = logging.getLogger('basicsr')
    handler = _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Lines(logging.Handler):
    """Lines that do not break a bar."""

    def emit(self, record: logging.LogRecord) -> None:
        console.Progress.say(self.format(record))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='entropy-sde', description='Brighten low-light images; prepare data, score results, convert models.'
    )
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    shtab.add_argument_to(parser, '--print-completion', help='print the script for completion in a shell, and exit')
    verbs = parser.add_subparsers(title='verbs', dest='verb', required=True, metavar='VERB')
    for name in VERBS:
        import_module(f'{__name__}.{name}').add_verb(verbs)
    _complete_paths(parser)
    return parser


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Let a shell complete the arguments that are paths."""
    for action in parser._actions:
        if action.type in (model_path, named_path):
            action.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
        elif isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _complete_paths(verb)
