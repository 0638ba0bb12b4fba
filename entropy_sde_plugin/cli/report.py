"""``entropy-sde report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from entropy_sde_plugin import register
from entropy_sde_plugin.cli.arguments import add_path, add_verbosity, named_path
from entropy_sde_plugin.utils import console


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    report = verbs.add_parser(
        'report',
        help='write an HTML page about trainings and tests: curves, tables, images',
        description='Reads the folders of trainings and tests and writes one self-contained page: results next to the '
        'published ones, before | after | ground truth at the same zoom, training curves, and the worst and best '
        'images by each metric.',
    )
    report.add_argument(
        'runs',
        nargs='+',
        type=named_path,
        metavar='EXPERIMENT',
        help='experiments/NAME of a training or results/NAME of a test',
    )
    add_path(
        report,
        '-o',
        '--output',
        default=Path('report.html'),
        metavar='FILE.html',
        help='file to write [%(default)s]',
    )
    add_verbosity(report)
    report.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    register()
    from entropy_sde_plugin.report.page import write_report

    write_report(options.runs, options.output)
    console.report(str(options.output))
