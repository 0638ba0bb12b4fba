"""A part that finds what is not a finite number."""

from __future__ import annotations

import math
from collections.abc import Iterator

from entropy_sde_plugin.benchmark.part import Row, Settings
from tests.support.benchmark_parts import begin


def rows(settings: Settings) -> Iterator[Row]:
    yield from begin('infinite')
    yield Row('second', {'difference': math.nan, 'ratio': math.inf}, 'differs by nan')
    yield Row('third', {'value': math.nan})
