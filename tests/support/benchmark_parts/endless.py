"""A part that waits for ever for a child, after a row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from entropy_sde_plugin.benchmark.part import Row, Settings
from tests.support.benchmark_parts import begin


def rows(settings: Settings) -> Iterator[Row]:
    yield from begin('endless')
    wait = 'import os, time; open(os.environ["BENCHMARK_NOTES"], "a").write(f"child {os.getpid()}\\n"); time.sleep(1e6)'
    subprocess.run([sys.executable, '-c', wait], check=True)
