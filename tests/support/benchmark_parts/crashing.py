"""A part that crashes after a row."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from entropy_sde_plugin.benchmark.part import Row, Settings
from tests.support.benchmark_parts import begin


def rows(settings: Settings) -> Iterator[Row]:
    yield from begin('crashing')
    os.kill(os.getpid(), signal.SIGSEGV)
