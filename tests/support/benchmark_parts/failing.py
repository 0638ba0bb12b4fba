"""A part that raises after a row."""

from __future__ import annotations

from collections.abc import Iterator

from entropy_sde_plugin.benchmark.part import Row, Settings
from tests.support.benchmark_parts import begin


def rows(settings: Settings) -> Iterator[Row]:
    yield from begin('failing')
    raise RuntimeError('CUDA error: device-side assert triggered')
