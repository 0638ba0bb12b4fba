"""Malformed images, databases, option files and weights, each met by the command that a user would give.

Every case must end in one line that names the culprit, without a traceback, with its input unchanged, nothing
half-written left and no code run. What did otherwise is printed, then a table by family; the exit code says so.

    python scripts/tools/fuzz.py --seeds 4
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # threads do not survive a fork
sys.path.insert(0, str(Path(__file__).parents[2]))

from entropy_sde_plugin import register

register()

from tests.support.hostile.families import FAMILIES  # noqa: E402
from tests.support.hostile.harness import Outcome, import_everything, meet  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=1, help='variants of every case [%(default)s]')
    parser.add_argument('--first-seed', type=int, default=0, help='[%(default)s]')
    parser.add_argument('--families', nargs='+', choices=FAMILIES, default=list(FAMILIES), help='[all]')
    parser.add_argument('--only', default='', metavar='TEXT', help='cases whose names hold this')
    parser.add_argument('--commands', action='store_true', help='run real commands, a Python for each: seconds a case')
    options = parser.parse_args()
    import_everything()
    outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for family in options.families:
            for name, build in FAMILIES[family]():
                if options.only not in name:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    outcome = meet(family, name, build, Path(folder), seed, fork=not options.commands)
                outcomes[family].append(outcome)
                if outcome.defects:
                    print(f'seed {seed}, {outcome}\n', flush=True)
    print('| family | cases | refused | passed | defects | slowest, s |\n|---|---|---|---|---|---|')
    for family, of_family in outcomes.items():
        count = Counter('refused' if outcome.code else 'passed' for outcome in of_family)
        defects = sum(bool(outcome.defects) for outcome in of_family)
        slowest = max(outcome.seconds for outcome in of_family)
        print(f'| {family} | {len(of_family)} | {count["refused"]} | {count["passed"]} | {defects} | {slowest:.1f} |')
    return int(any(outcome.defects for of_family in outcomes.values() for outcome in of_family))


if __name__ == '__main__':
    sys.exit(main())
