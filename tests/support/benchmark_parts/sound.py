"""A part that finds two rows."""

from __future__ import annotations

from collections.abc import Iterator

from entropy_sde_plugin.benchmark.part import Row, Settings
from tests.support.benchmark_parts import begin


def rows(settings: Settings) -> Iterator[Row]:
    yield from begin('sound')
    yield Row('second', {'value, ms': 2.5, 'device': settings.device})
