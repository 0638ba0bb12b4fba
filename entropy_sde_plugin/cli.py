"""The ``entropy-sde`` command: every verb a call into the rooms below."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from entropy_sde_plugin import __version__, register
from entropy_sde_plugin.errors import InputError

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 1 after one line that says what was wrong; 130 on Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (InputError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='entropy-sde', description='Entropy-SDE: dark photographs become bright.')
    parser.add_argument('--version', action='version', version=f'%(prog)s {__version__}')
    verbs = parser.add_subparsers(title='verbs', required=True, metavar='VERB')

    demo = verbs.add_parser(
        'demo',
        help='train on the packaged photographs and show what became of dark ones (minutes, no GPU needed)',
        description='Writes the packaged photographs to LMDB, trains with BasicSR on two CPU cores, validates on '
        'photographs that were held out, and leaves a table and a before | after | truth picture.',
    )
    demo.add_argument(
        '-o', '--output', type=Path, default=Path('entropy_sde_demo'), help='folder for everything [%(default)s]'
    )
    demo.add_argument(
        '--force_yml',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="override options/demo.yml as BasicSR's --force_yml does, e.g. train:total_iter=200",
    )
    demo.set_defaults(run=_demo)
    return parser


def _demo(options: argparse.Namespace) -> None:
    register()
    from entropy_sde_plugin import demo

    demo.run(options.output, options.force_yml)


if __name__ == '__main__':
    sys.exit(main())
