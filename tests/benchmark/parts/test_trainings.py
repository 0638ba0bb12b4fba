"""What the trainings are compared with; the trainer is replaced, and writes weights that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from entropy_sde_plugin.benchmark.part import Settings
from entropy_sde_plugin.benchmark.parts import trainings


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Options of the trainings that were made, by name. Their last weights differ by what `OFF` says."""
    options: dict[str, dict[str, Any]] = {}

    def run_trainer(folder: Path, opt: dict[str, Any], *, processes: int) -> float:
        options[opt['name']] = opt | {'processes': processes}
        models, states = (folder / 'experiments' / opt['name'] / kind for kind in ('models', 'training_states'))
        for place in (models, states):
            place.mkdir(parents=True, exist_ok=True)
        assert opt['path'].get('resume_state') is None or Path(opt['path']['resume_state']).is_file()
        steps = opt['train']['total_iter']
        for iteration, value in ((steps // 2, 1.0), (steps, 2.0 + OFF[opt['name']])):
            torch.save({'params': {'weight': torch.tensor([value])}}, models / f'net_g_{iteration}.pth')
            (states / f'{iteration}.state').touch()
        return 1.5

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainings, 'run_trainer', run_trainer)
    monkeypatch.setattr(trainings, 'write_demo_databases', lambda folder: None)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)  # two GPUs that are not there
    return options


OFF = {
    'whole': 0.0,
    'again': 0.0,
    'resumed_at_half': 1e-6,
    'two_processes_gloo': 5e-5,
    'two_processes_nccl': 2e-4,
}


def test_weights_are_compared_with_those_of_the_first_training(made: dict[str, dict[str, Any]]) -> None:
    found = {row.case: row for row in trainings.rows(Settings('cuda'))}
    assert list(made) == list(OFF)
    assert made['resumed_at_half']['path']['resume_state'] == 'experiments/resumed_at_half/training_states/20.state'
    assert {name: opt['processes'] for name, opt in made.items()} == {
        'whole': 1, 'again': 1, 'resumed_at_half': 1, 'two_processes_gloo': 2, 'two_processes_nccl': 2
    }  # fmt: skip
    assert made['two_processes_nccl']['dist_params'] == {'backend': 'nccl'}
    assert made['two_processes_gloo']['datasets']['train']['batch_size_per_gpu'] == 2
    assert all(opt['num_gpu'] == 1 for opt in made.values())
    assert found['two processes, gloo'].values['distance / way'] == pytest.approx(5e-5, rel=1e-2)
    # Equal runs agree in every bit, and so must a resumed one.
    assert {case for case, row in found.items() if row.problem} == {'resumed at half', 'two processes, nccl'}


def test_a_resumed_training_may_differ_as_two_equal_ones_do(
    made: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OFF, 'again', 1e-6)
    assert [row.case for row in trainings.rows(Settings('cuda')) if row.problem] == ['two processes, nccl']
