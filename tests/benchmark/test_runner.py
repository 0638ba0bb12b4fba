"""Parts that end in every way, each in a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from entropy_sde_plugin.benchmark import runner
from entropy_sde_plugin.benchmark.part import Settings
from entropy_sde_plugin.errors import InputError
from tests.support.benchmark_parts import NOTES, part
from tests.support.commands import ROOT, TIMEOUT

CPU = Settings('cpu', quick=True)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which parts note that they run; they find the modules of these tests."""
    monkeypatch.setenv(NOTES, str(tmp_path / 'notes'))
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    return tmp_path / 'notes'


@pytest.fixture
def clock(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a day pass for the runner as soon as the endless part waits for its child."""

    def monotonic() -> float:
        return time.monotonic() + 86400 * (notes.exists() and 'child' in processes(notes))

    monkeypatch.setattr(runner, 'time', SimpleNamespace(monotonic=monotonic, sleep=time.sleep))


def processes(notes: Path) -> dict[str, int]:
    """The last process of each part, and the child of one."""
    return {name: int(number) for name, number in map(str.split, notes.read_text().splitlines())}


def is_running(process: int) -> bool:
    state = Path(f'/proc/{process}/stat')
    return state.exists() and state.read_text().rpartition(')')[2].split()[0] != 'Z'


def test_a_failure_costs_one_row(tmp_path: Path, notes: Path, clock: None) -> None:
    parts = [part('failing'), part('infinite'), part('crashing'), part('sound'), part('endless')]
    results = runner.run(tmp_path / 'out', Settings('cpu'), parts, seconds=1e6)
    problems = {name: [row.problem for row in found.rows] for name, found in results.parts.items()}
    assert problems == {
        'failing': ['', 'RuntimeError: CUDA error: device-side assert triggered'],
        'infinite': ['', 'differs by nan', 'value is nan'],
        'crashing': ['', 'ended by SIGSEGV'],
        'sound': ['', ''],
        'endless': ['', 'not finished within 60 s'],
    }
    assert results.parts['infinite'].rows[1].values == {'difference': 'nan', 'ratio': 'inf'}
    assert not is_running(processes(notes)['endless'])
    assert not is_running(processes(notes)['child'])
    stored = json.loads((tmp_path / 'out/results.json').read_text())
    assert stored['parts']['sound']['rows'][1] == {
        'case': 'second',
        'values': {'value, ms': 2.5, 'device': 'cpu'},
        'problem': '',
    }
    assert 'device-side assert' in (tmp_path / 'out/failing.log').read_text()
    tables = (tmp_path / 'out/results.md').read_text()
    assert '## The part sound\n\n| case | value, ms | device |\n|---|---|---|\n| first | 1 |  |\n' in tables
    assert '| the rest |  | ended by SIGSEGV |' in tables


def test_what_was_finished_is_not_run_again(tmp_path: Path, notes: Path) -> None:
    first = runner.run(tmp_path / 'out', CPU, [part('sound'), part('failing')], seconds=1e6)
    ran = processes(notes)
    again = runner.run(tmp_path / 'out', CPU, [part('sound'), part('failing'), part('crashing')], seconds=1e6)
    assert again.parts['sound'] == first.parts['sound']
    assert processes(notes)['sound'] == ran['sound']
    assert processes(notes)['failing'] != ran['failing']
    assert 'crashing' in again.parts


def test_a_part_that_the_end_of_the_time_cuts_off_leaves_no_rows(tmp_path: Path, notes: Path, clock: None) -> None:
    parts = [part('endless', limit=10**6), part('sound')]
    results = runner.run(tmp_path / 'out', Settings('cpu'), parts, seconds=1000)
    assert results.parts == {}
    assert json.loads((tmp_path / 'out/results.json').read_text())['parts'] == {}
    assert not is_running(processes(notes)['child'])
    assert not (tmp_path / 'out/sound.log').exists()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells a process that its parent is gone')
def test_a_folder_is_one_benchmarks_and_a_part_ends_with_one_that_is_killed(tmp_path: Path, notes: Path) -> None:
    run = f"""
from pathlib import Path
from entropy_sde_plugin.benchmark.runner import Settings, run
from tests.support.benchmark_parts import part
run(Path({str(tmp_path / 'out')!r}), Settings('cpu', quick=True), [part('endless')], seconds=1e6)
"""
    with subprocess.Popen([sys.executable, '-c', run], env=os.environ | {'TMPDIR': str(tmp_path)}) as benchmark:
        wait_until(lambda: notes.exists() and 'child' in processes(notes))
        with pytest.raises(InputError, match=r"out' is in use by another run"):
            runner.run(tmp_path / 'out', CPU, [], seconds=10)
        benchmark.kill()
    wait_until(lambda: not any(map(is_running, processes(notes).values())))


def test_results_of_another_machine_are_refused(tmp_path: Path, notes: Path) -> None:
    runner.run(tmp_path, CPU, [], seconds=10)
    message = r"results\.json' was measured on CPU, quick, .*, but this run is on CPU, PyTorch .*another folder"
    with pytest.raises(InputError, match=message):
        runner.run(tmp_path, Settings('cpu'), [], seconds=10)
    (tmp_path / 'results.json').write_text('{"machine": 3}')
    with pytest.raises(InputError, match=r'does not hold results of bench-gpu \(Expected `object`'):
        runner.run(tmp_path, CPU, [], seconds=10)
