"""Small trainings of the demonstration's photographs through BasicSR's trainer, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from entropy_sde_plugin.utils.resources import options_folder

__all__ = ['TRAINER', 'TrainingError', 'run_trainer', 'small_training', 'weights']

TRAINER = ('-m', 'basicsr.train')

NETWORK = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1, 2], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]}
DESCENT = {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}
"""AdamW divides gradients by their size, and with it enlarges the rounding of those that are nearly zero."""


class TrainingError(RuntimeError):
    """A training stopped; the message is its last line, `output` its last 60."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def small_training(name: str, steps: int, batch: int) -> dict[str, Any]:
    """The demonstration's options with a small network and images of 32x32, ``batch`` of them for a process.

    Equal trainings differ only a little, since the optimiser is plain gradient descent. There is no validation.
    """
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text(encoding='utf-8'))
    opt |= {'name': name, 'network_g': NETWORK}
    opt['datasets']['train'] |= {'gt_size': 32, 'batch_size_per_gpu': batch}
    opt['train'] |= {'total_iter': steps, 'optim_g': DESCENT, 'warmup_iter': -1}
    opt['train']['scheduler']['periods'] = [steps]
    opt['logger']['save_checkpoint_freq'] = 10**9
    del opt['val'], opt['datasets']['val']
    return opt


def run_trainer(
    folder: Path, opt: dict[str, Any], *arguments: str, processes: int = 1, program: Sequence[str] = TRAINER
) -> float:
    """Train below a folder that holds the data sets, and return the seconds.

    Args:
        folder: The working directory; the training's files go to ``experiments/NAME`` there.
        opt: Options; written to ``NAME.yml``.
        arguments: Further arguments of the trainer.
        processes: Number of processes that share the training, with one thread each; torchrun starts them.
        program: Python's arguments that start the trainer.

    Raises:
        TrainingError: It failed.
    """
    file = folder / f'{opt["name"]}.yml'
    file.write_text(yaml.safe_dump(opt), encoding='utf-8')
    command = [*program, '-opt', file.name, *arguments]
    if processes > 1:
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
        command = [*launcher, *command, '--launcher', 'pytorch']
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    ) as process:
        try:
            output, _ = process.communicate()
        finally:
            process.terminate()  # where this process is asked to end; torchrun ends its children then
    if process.returncode != 0:
        lines = output.splitlines()[-60:]
        raise TrainingError(lines[-1] if lines else f'exit code {process.returncode}', '\n'.join(lines))
    return time.perf_counter() - begun


def weights(file: Path) -> Tensor:
    """Read the weights of a checkpoint as one vector, in double precision."""
    state = torch.load(file, weights_only=True, map_location='cpu')['params']
    return torch.cat([value.flatten().double() for value in state.values()])
