"""``entropy-sde bench-gpu``, without a GPU: every part on the smallest inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from entropy_sde_plugin.benchmark.part import PARTS
from entropy_sde_plugin.cli import main
from entropy_sde_plugin.options.systems import SYSTEMS


def test_a_quick_run_on_the_cpu_has_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the parts' processes Triton's kernels are interpreted, and weights of metrics are not downloaded."""
    offline = {'https_proxy': 'http://127.0.0.1:9', 'TORCH_HOME': str(tmp_path)}
    for name, value in {'TRITON_INTERPRET': '1', **offline}.items():
        monkeypatch.setenv(name, value)
    code = main(['bench-gpu', '-o', str(tmp_path), '--device', 'cpu', '--quick'])
    tables = (tmp_path / 'results.md').read_text()
    assert code == 0, tables
    found = json.loads((tmp_path / 'results.json').read_text())['parts']
    assert set(found) == set(PARTS)
    assert all(part['rows'] for part in found.values())
    assert len(found['systems']['rows']) == len(SYSTEMS)
    assert [row['case'] for row in found['engines']['rows'] if row['case'].startswith('triton')]
    assert '## Trainings against one that ran through\n\n| case | distance / way | s |\n' in tables


@pytest.mark.skipif(torch.cuda.is_available(), reason='says what happens without a GPU')
def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bench-gpu', '-o', str(tmp_path / 'gpu')]) == 1
    assert capsys.readouterr().err.startswith("error: device: this machine has no 'cuda'")
    assert not (tmp_path / 'gpu').exists()


def test_a_part_that_is_named_twice_is_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ['bench-gpu', '-o', str(tmp_path), '--device', 'cpu', '--quick', '--parts', 'machine', 'machine']
    assert main(command) == 0
    assert capsys.readouterr().out.count('machine:') == 1


@pytest.mark.parametrize('minutes', ['0', '-1', 'nan', 'inf', 'nine'])
def test_minutes_that_are_none(minutes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        main(['bench-gpu', '-o', str(tmp_path), '--minutes', minutes])
    assert f"--minutes: '{minutes}' is not a number of minutes above 0" in capsys.readouterr().err


def test_a_part_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        main(['bench-gpu', '-o', str(tmp_path), '--parts', 'enignes'])
    assert "invalid choice: 'enignes' (choose from" in capsys.readouterr().err
