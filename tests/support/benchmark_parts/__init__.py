"""Parts of a benchmark that end in every way; each notes its process and that it was run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from entropy_sde_plugin.benchmark.part import Part, Row

PACKAGE = 'tests.support.benchmark_parts'
NOTES = 'BENCHMARK_NOTES'
"""Variable of the environment that names the file of the notes."""


def part(name: str, limit: int = 60) -> Part:
    """The part of a module of this package."""
    return Part(name, f'The part {name}', limit, PACKAGE)


def begin(name: str) -> Iterator[Row]:
    """Note that a part runs, and yield its first row."""
    with Path(os.environ[NOTES]).open('a') as notes:
        notes.write(f'{name} {os.getpid()}\n')
    yield Row('first', {'value, ms': 1.0})
