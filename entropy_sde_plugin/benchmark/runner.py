"""Runs the parts of the benchmark, each in a process of its own, and keeps what they find."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from entropy_sde_plugin import __version__
from entropy_sde_plugin.benchmark.part import Part, Row, Settings
from entropy_sde_plugin.benchmark.results import Found, Machine, Results
from entropy_sde_plugin.utils.console import report
from entropy_sde_plugin.utils.devices import choose_device
from entropy_sde_plugin.utils.folder_lock import lock_folder

__all__ = ['run']

PATIENCE = 20.0
"""Seconds that a process has to end its training on SIGTERM."""

POLL = 0.05


def run(folder: Path, settings: Settings, parts: Sequence[Part], seconds: float) -> Results:
    """Run parts, and write the results after each. Parts that an earlier run finished without problems are kept.

    On a GPU the parts run one after the other. A quick run on a CPU, which measures nothing, runs as many at once as
    there are cores, of one thread each.

    Args:
        folder: Where the results and a log of each part go; created if missing.
        settings: The device, and whether to be quick.
        parts: What to run.
        seconds: Time for all of them. Parts for which none is left are not begun, and those that it cuts off leave no
            rows: another run with the same folder continues there.

    Returns:
        All results of the folder.

    Raises:
        InputError: There is no such device, the folder holds results of another machine, or another run uses it.
        WriteError: Results could not be written.
    """
    machine = _machine(settings)
    lock_folder(folder)
    results = Results.read(folder, machine)
    results.write(folder)
    waiting = [part for part in parts if not results.has(part.name)]
    at_once = (os.cpu_count() or 1) if settings.quick and settings.device == 'cpu' else 1
    end = time.monotonic() + seconds
    running: list[_Process] = []
    with tempfile.TemporaryDirectory(prefix='bench-gpu-') as scratch:
        try:
            while running or (waiting and time.monotonic() < end):
                if waiting and len(running) < at_once and time.monotonic() < end:
                    part = waiting.pop(0)
                    running.append(_Process(part, settings, folder / f'{part.name}.log', Path(scratch, part.name), end))
                    continue
                time.sleep(POLL)
                for process in [process for process in running if process.has_ended()]:
                    running.remove(process)
                    if not process.was_cut_off:
                        results.parts[process.part.name] = found = process.found()
                        results.write(folder)
                        report(f'{process.part.name}: {found}')
        finally:
            for process in running:
                process.end()
    return results


def _machine(settings: Settings) -> Machine:
    device = choose_device(settings.device)
    name = torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'
    return Machine(settings.device, name, settings.quick, str(torch.__version__), __version__)


class _Process:
    """A part's process.

    Attributes:
        part: The part.
        was_cut_off: Whether the benchmark's time ended before the part's own limit.
    """

    def __init__(self, part: Part, settings: Settings, log: Path, scratch: Path, end: float) -> None:
        self.part, self.was_cut_off = part, False
        self._log, self._rows = log, scratch / 'rows'
        self._begun, self._end = time.monotonic(), end
        self._limit = self._begun + (math.inf if settings.quick else part.limit)
        self._problem = ''
        scratch.mkdir()
        command = [sys.executable, '-m', 'entropy_sde_plugin.benchmark.run_part', f'{part.package}.{part.name}']
        command += [msgspec.json.encode(settings).decode(), str(self._rows)]
        one_thread = {'OMP_NUM_THREADS': '1'} if settings.quick else {}
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                command,
                cwd=scratch,
                env=os.environ | one_thread,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def has_ended(self) -> bool:
        """Return whether the process has ended; end it where its time is over."""
        code, now = self._process.poll(), time.monotonic()
        if code is None and now > min(self._limit, self._end):
            self.was_cut_off = now <= self._limit
            self._problem = f'not finished within {self.part.limit} s'
            self.end()
        elif code:
            self._problem = f'ended by {signal.Signals(-code).name}' if code < 0 else self._last_line()
        self._seconds = now - self._begun
        return self._process.returncode is not None

    def found(self) -> Found:
        """What the process has found; where it failed, a last row says why."""
        written = self._rows.read_bytes().splitlines(keepends=True) if self._rows.exists() else []
        rows = [msgspec.json.decode(line, type=Row) for line in written if line.endswith(b'\n')]
        if self._problem:
            rows.append(Row('the rest', problem=self._problem))
        return Found(self.part.title, rows, round(self._seconds, 1))

    def end(self) -> None:
        """End the process, which then ends the training that it waits for; one that hangs on a device is killed."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_line(self) -> str:
        lines = [line for line in self._log.read_text(errors='replace').splitlines() if line.strip()]
        return lines[-1].strip() if lines else 'it said nothing'
