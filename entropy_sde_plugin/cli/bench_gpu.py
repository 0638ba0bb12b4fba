"""``entropy-sde bench-gpu``."""

from __future__ import annotations

import argparse
import contextlib
import math
from typing import Any

from entropy_sde_plugin.benchmark.part import PARTS, Settings
from entropy_sde_plugin.cli.arguments import add_path, add_verbosity
from entropy_sde_plugin.errors import InputError

DESCRIPTION = """Compares engines, networks, samplers, metrics and training steps on a GPU with the CPU, and measures
the loss, the paper's training step, trainings and enhancing there. Writes results.json and results.md after each part,
and a log of each. Run it again with the same folder to continue where it ended, and to repeat parts with problems."""


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    names = ', '.join(PARTS)
    bench = verbs.add_parser('bench-gpu', help='verify everything on a GPU, and measure it', description=DESCRIPTION)
    add_path(bench, '-o', '--output', required=True, metavar='FOLDER', help='output folder')
    bench.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='where to compute [%(default)s]')
    bench.add_argument('--parts', nargs='+', action='extend', choices=PARTS, metavar='PART', help=f'{names} [all]')
    bench.add_argument('--quick', action='store_true', help='the smallest inputs: whether it works, not how fast')
    bench.add_argument(
        '--minutes', type=_minutes, default=9, metavar='N', help='begin no part, and end the running one, then [9]'
    )
    add_verbosity(bench)
    bench.set_defaults(run=run)


def _minutes(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (minutes := float(text)) < math.inf:
            return minutes
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes above 0")


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.benchmark import runner
    from entropy_sde_plugin.benchmark.results import TABLES_FILE
    from entropy_sde_plugin.utils.console import report

    settings = Settings(options.device, options.quick)
    chosen = list(dict.fromkeys(options.parts or PARTS))
    results = runner.run(options.output, settings, [PARTS[name] for name in chosen], 60 * options.minutes)
    report(f'Tables: {options.output / TABLES_FILE}')
    if missing := [name for name in chosen if name not in results.parts]:
        raise InputError(
            f'{options.minutes:g} minutes were not enough for {", ".join(missing)}: run the command again to continue.'
        )
    if wrong := [name for name in chosen if not results.has(name)]:
        raise InputError(f'Problems in {", ".join(wrong)}: see {options.output / TABLES_FILE}.')
