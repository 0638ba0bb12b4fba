"""``entropy-sde demo``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from entropy_sde_plugin import register
from entropy_sde_plugin.cli.arguments import add_path, add_verbosity


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    demo = verbs.add_parser(
        'demo',
        help='train on the packaged photographs and show the results (minutes, no GPU needed)',
        description='Writes the packaged photographs to LMDB, trains with BasicSR on two CPU cores, validates on '
        'held-out photographs, and writes a table and an image of before | after | ground truth.',
    )
    add_path(
        demo,
        '-o',
        '--output',
        default=Path('entropy_sde_demo'),
        metavar='FOLDER',
        help='output folder [%(default)s]',
    )
    demo.add_argument(
        '--force_yml',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help="override options/demo.yml as BasicSR's --force_yml does, e.g. train:total_iter=200",
    )
    add_verbosity(demo)
    demo.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    register()
    from entropy_sde_plugin.demo import run as demo

    demo.run(options.output, options.force_yml)
