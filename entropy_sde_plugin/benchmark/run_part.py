"""``python -m entropy_sde_plugin.benchmark.run_part MODULE SETTINGS FILE``: the process of one part.

SETTINGS are those of `part.Settings` as JSON. Rows are added to FILE as they are found, one line of JSON each, so that
those before a crash are kept.
"""

from __future__ import annotations

import math
import sys
from importlib import import_module
from pathlib import Path

import msgspec

from entropy_sde_plugin.benchmark.part import Row, Settings
from entropy_sde_plugin.utils.signals import end_with_parent, exit_on_sigterm


def main(module: str, settings: str, file: str) -> None:
    """Write the rows of a part."""
    exit_on_sigterm()  # the trainings that it has begun are ended then, too
    end_with_parent()
    with Path(file).open('ab') as lines:
        for row in import_module(module).rows(msgspec.json.decode(settings, type=Settings)):
            lines.write(msgspec.json.encode(_checked(row)) + b'\n')
            lines.flush()


def _checked(row: Row) -> Row:
    """Return the row with NaN and infinity as a problem, unless it has one, and as text: JSON has no such numbers."""
    wrong = {
        name: str(value)
        for name, value in row.values.items()
        if not isinstance(value, str) and not math.isfinite(value)
    }
    if not wrong:
        return row
    problem = row.problem or ', '.join(f'{name} is {value}' for name, value in wrong.items())
    return msgspec.structs.replace(row, values={**row.values, **wrong}, problem=problem)


if __name__ == '__main__':
    main(*sys.argv[1:])
