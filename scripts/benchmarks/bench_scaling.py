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
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from entropy_sde_plugin.benchmark.stock_training import TrainingError, run_trainer, small_training, weights
from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.reporting import report_input_errors

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
    """Train with a number of processes.

    Raises:
        InputError: The training failed; its last lines have been shown.
    """
    opt = small_training(f'by_{processes}', steps, batch // processes)
    opt['logger']['save_checkpoint_freq'] = 1 if processes == 1 else 10**9  # where the way begins
    traffic = folder / f'{opt["name"]}.json'
    program = (str(Path(__file__).with_name('_counted_training.py')), str(traffic))
    try:
        run_trainer(folder, opt, processes=processes, program=program)
    except TrainingError as error:
        sys.stderr.write(error.output + '\n')
        raise InputError(f'{processes} processes failed; their last lines are above.') from None
    latest = folder / 'experiments' / opt['name'] / 'models' / 'net_g_latest.pth'
    return Training(weights(latest), json.loads(traffic.read_text()))


def rate(traffic: dict[str, dict[str, int]], kinds: set[str], steps: int) -> tuple[float, float]:
    """Bytes and calls a step of some kinds of collectives."""
    counted = [traffic[kind] for kind in kinds if kind in traffic]
    return sum(kind['bytes'] for kind in counted) / steps, sum(kind['calls'] for kind in counted) / steps


if __name__ == '__main__':
    sys.exit(main())
