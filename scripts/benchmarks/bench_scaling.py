"""Data-parallel training by several processes of this machine: the same weights as by one, and what is sent for it.

    python scripts/benchmarks/bench_scaling.py --processes 1 2 4 8

A small network trains on the demonstration's photographs through BasicSR's own launcher, over gloo, the same batch
dealt out to 1, 2, 4 and 8 processes of a thread each. The table holds, for each number of processes,

- how far the final weights are from those of one process, as a share of the way that the training took them, L2;
- the bytes of gradient that a step shares, which must be four for each parameter, and those of the rest;
- what a ring all-reduce of it makes each process send: 2 (n - 1) / n of the bytes.

The exit code is 1 where the weights are further apart than 1e-4 of the way, or the gradient is not what it must be.
Times say nothing here: the processes share the cores of one machine. What several machines would take is computed by
project_scaling.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.errors import InputError, report_input_errors
from entropy_sde_plugin.utils.resources import options_folder

NETWORK = {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1, 2], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]}
DESCENT = {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}
"""AdamW divides gradients by their size, and with it enlarges the rounding of those that are nearly zero."""
TOLERATED = 1e-4


@dataclass(frozen=True)
class Training:
    """What a training by some processes left.

    Attributes:
        weights: The final ones, all in one vector.
        traffic: Calls and bytes of each kind of collective; empty for one process.
    """

    weights: Tensor
    traffic: dict[str, dict[str, int]]


def main() -> int:
    report_input_errors()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--processes', type=int, nargs='+', default=[1, 2, 4, 8], help='[1 2 4 8]')
    parser.add_argument('--steps', type=int, default=20, help='[%(default)s]')
    parser.add_argument('--batch', type=int, default=8, help='images of a step, over all processes [%(default)s]')
    options = parser.parse_args()
    if uneven := [number for number in options.processes if options.batch % number]:
        raise InputError(f'--processes {uneven[0]}: a batch of {options.batch} cannot be dealt out evenly.')
    with tempfile.TemporaryDirectory() as folder:
        write_demo_databases(Path(folder, 'datasets'))
        alone = train(Path(folder), 1, options.steps, options.batch)
        way = (alone.weights - weights(Path(folder, 'experiments', 'by_1', 'models', 'net_g_1.pth'))).norm()
        expected = 4 * alone.weights.numel()
        print(f'{alone.weights.numel():,} parameters, {options.steps} steps of {options.batch} images, 32x32\n')
        print(
            '| processes | distance / way | gradient, bytes a step (calls) | rest, bytes a step (calls) | ring, bytes |'
        )
        print('|---|---|---|---|---|')
        agree = True
        for number in options.processes:
            shared = alone if number == 1 else train(Path(folder), number, options.steps, options.batch)
            distance = float((shared.weights - alone.weights).norm() / way)
            of_gradient, calls = rate(shared.traffic, {'gradients'}, options.steps)
            rest, rest_calls = rate(shared.traffic, {'all_reduce', 'reduce', 'broadcast'}, options.steps)
            agree &= distance <= TOLERATED and (number == 1 or of_gradient == expected)
            cells = f'{distance:.1e} | {of_gradient:,.0f} ({calls:.0f}) | {rest:.0f} ({rest_calls:.1f})'
            print(f'| {number} | {cells} | {2 * (number - 1) / number * of_gradient:,.0f} |', flush=True)
    return int(not agree)


def train(folder: Path, processes: int, steps: int, batch: int) -> Training:
    """Train with so many processes.

    Raises:
        InputError: The training failed; its last lines have been shown.
    """
    name = f'by_{processes}'
    file, traffic = folder / f'{name}.yml', folder / f'{name}.json'
    file.write_text(yaml.safe_dump(training_options(name, steps, batch // processes)))
    command = [str(Path(__file__).with_name('_counted_training.py')), str(traffic), '-opt', str(file)]
    if processes > 1:
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
        command = [*launcher, *command, '--launcher', 'pytorch']
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        sys.stderr.write('\n'.join(result.stdout.splitlines()[-60:]) + '\n')
        raise InputError(
            f'{processes} processes stopped with exit code {result.returncode}; their last lines are above.'
        )
    latest = folder / 'experiments' / name / 'models' / 'net_g_latest.pth'
    return Training(weights(latest), json.loads(traffic.read_text()))


def training_options(name: str, steps: int, batch: int) -> dict[str, Any]:
    """The demonstration's options with a small network and small images, ``batch`` of them for a process."""
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text(encoding='utf-8'))
    opt |= {'name': name, 'network_g': NETWORK}
    opt['datasets']['train'] |= {'gt_size': 32, 'batch_size_per_gpu': batch}
    opt['train'] |= {'total_iter': steps, 'optim_g': DESCENT, 'warmup_iter': -1}
    opt['train']['scheduler']['periods'] = [steps]
    opt['logger']['save_checkpoint_freq'] = 1 if name == 'by_1' else 10**9  # where the way begins
    del opt['val'], opt['datasets']['val']
    return opt


def weights(file: Path) -> Tensor:
    state = torch.load(file, weights_only=True)['params']
    return torch.cat([value.flatten().double() for value in state.values()])


def rate(traffic: dict[str, dict[str, int]], kinds: set[str], steps: int) -> tuple[float, float]:
    """Bytes and calls a step of some kinds of collectives."""
    counted = [traffic[kind] for kind in kinds if kind in traffic]
    return sum(kind['bytes'] for kind in counted) / steps, sum(kind['calls'] for kind in counted) / steps


if __name__ == '__main__':
    sys.exit(main())
