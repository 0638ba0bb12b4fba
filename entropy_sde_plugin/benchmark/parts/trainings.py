"""Trainings that must give the same weights as one that ran through: repeated, resumed, by two processes."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.benchmark.stock_training import run_trainer, small_training, weights
from entropy_sde_plugin.demo.photographs import write_demo_databases

ALLOWED = 1e-4
"""Distance from the weights of one process, as a share of the way that the training took them."""

WHOLE, AGAIN, RESUMED = 'whole', 'again', 'resumed at half'


def rows(settings: Settings) -> Iterator[Row]:
    """Train once without interruption; compare each of the other trainings with it.

    Where a GPU's sums differ between two equal trainings, the others may differ by ten times as much. Where they do
    not, a resumed training must not differ in a bit.
    """
    steps = 4 if settings.quick else 40
    write_demo_databases('datasets')
    backends = ['gloo', *(['nccl'] if settings.device == 'cuda' and torch.cuda.device_count() > 1 else [])]
    # A CPU repeats a training bit by bit, which a quick run need not see.
    equal = [WHOLE] if settings.quick else [WHOLE, AGAIN]
    cases = [*equal, RESUMED, *(f'two processes, {backend}' for backend in backends)]
    yield from attempts(cases, _Trainings(settings.device, steps).row)


class _Trainings:
    """Trainings in the working directory, and how far their weights are from those of the first."""

    def __init__(self, device: str, steps: int) -> None:
        self.steps = steps
        self.base = small_training(WHOLE, steps, batch=4)
        self.base['num_gpu'] = int(device == 'cuda')
        self.base['train']['tf32'] = False
        self.base['logger']['save_checkpoint_freq'] = steps // 2
        self.noise = 0.0

    def row(self, case: str) -> Row:
        """Train, and compare the weights."""
        opt: dict[str, Any] = copy.deepcopy(self.base)
        opt['name'], processes, allowed = case.replace(' ', '_').replace(',', ''), 1, ALLOWED
        if case == RESUMED:
            opt['path']['resume_state'] = str(self._half_done(opt['name']))
            allowed = 10 * self.noise
        elif case not in (WHOLE, AGAIN):
            processes, allowed = 2, max(ALLOWED, 10 * self.noise)
            opt['dist_params'] = {'backend': case.rpartition(' ')[2]}
            opt['datasets']['train']['batch_size_per_gpu'] //= processes
        seconds = run_trainer(Path(), opt, processes=processes)
        distance = self._distance(opt['name'])
        if case == AGAIN:
            self.noise = distance
        problem = '' if distance <= allowed else f'{distance:.2g} of the way apart, more than {allowed:.2g}'
        return Row(case, {'distance / way': distance, 's': seconds}, problem)

    def _half_done(self, name: str) -> Path:
        """Copy the half-way checkpoint of the first training to another one; return the copied state."""
        half = self.steps // 2
        files = (f'models/net_g_{half}.pth', f'training_states/{half}.state')
        for file in files:
            Path(f'experiments/{name}', file).parent.mkdir(parents=True)
            shutil.copy(Path(f'experiments/{WHOLE}', file), Path(f'experiments/{name}', file))
        return Path(f'experiments/{name}', files[-1])

    def _distance(self, name: str) -> float:
        """Distance from the first training's weights, relative to how far its second half moved them."""
        half, whole = (self._weights(WHOLE, iteration) for iteration in (self.steps // 2, self.steps))
        return float((self._weights(name, self.steps) - whole).norm() / (whole - half).norm())

    def _weights(self, name: str, iteration: int) -> torch.Tensor:
        return weights(Path(f'experiments/{name}/models/net_g_{iteration}.pth'))
