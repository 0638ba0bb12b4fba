"""``entropy-sde report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from entropy_sde_plugin import register


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    report = verbs.add_parser(
        'report',
        help='write an HTML page about trainings and tests: curves, tables, images',
        description="Reads what BasicSR's trainer and tester left in some folders and writes one page that needs no "
        'other files and no network: results beside the published ones, before | after | truth at the same zoom, '
        'training curves, the worst and best images by each metric.',
    )
    report.add_argument(
        'runs',
        nargs='+',
        type=Path,
        metavar='EXPERIMENT',
        help='experiments/NAME of a training or results/NAME of a test',
    )
    report.add_argument('-o', '--output', type=Path, default=Path('report.html'), help='the page [%(default)s]')
    report.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    register()
    from entropy_sde_plugin.report.page import write_report

    write_report(options.runs, options.output)
    print(options.output)
