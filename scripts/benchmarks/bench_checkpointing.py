"""Memory and time of a training step with and without activation checkpointing (`network_g.checkpoint_activations`).

    python scripts/benchmarks/bench_checkpointing.py --training paper --batch 4

The step is IRSDEModel's, with loss, clipping and AdamW, without the average of the weights. Each case has a process of
its own, one after the other, whose resident memory is reported: what the forward pass leaves for the backward pass, and
the highest of all. The fastest step counts: other work only adds time.
"""

from __future__ import annotations

import argparse
import ctypes
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import multiprocessing

from entropy_sde_plugin.benchmark.memory import resident
from entropy_sde_plugin.benchmark.timing import seconds
from entropy_sde_plugin.benchmark.training_steps import (
    TRAININGS,
    batch_of,
    model_in_training,
    step,
    training_options,
)
from entropy_sde_plugin.models.system import SystemModel


@dataclass(frozen=True)
class Cost:
    """What training steps took.

    Attributes:
        parameters: Number of parameters of the network.
        activations: Bytes of resident memory that the network's forward pass adds.
        peak: The most resident memory: program, weights, gradients and moments too.
        seconds: Time of the fastest step.
    """

    parameters: int
    activations: int
    peak: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--training', choices=TRAININGS, default='paper', help='[%(default)s]')
    parser.add_argument('--batch', type=int, default=4, help='images [%(default)s]')
    parser.add_argument('--size', type=int, default=128, help='their sides, in pixels [%(default)s]')
    parser.add_argument('--steps', type=int, default=2, help='timed steps of a case [%(default)s]')
    options = parser.parse_args()
    opt, threads = training_options(TRAININGS[options.training]), torch.get_num_threads()
    opt['train']['ema_decay'] = 0
    costs = {}
    for name, checkpointed in (('kept', False), ('checkpointed', True)):
        case = opt | {'network_g': opt['network_g'] | {'checkpoint_activations': checkpointed}}
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
            costs[name] = pool.submit(measure, case, options.batch, options.size, options.steps, threads).result()
    kept, checkpointed = costs.values()
    shape = f'batch {options.batch}, {options.size}x{options.size}'
    print(f'{kept.parameters:,} parameters, {shape}, CPU, {threads} threads, best of {options.steps}\n')
    print('| activations | they hold, MB | peak, MB | step, s |\n|---|---|---|---|')
    for name, cost in costs.items():
        print(f'| {name} | {cost.activations / 1e6:.0f} | {cost.peak / 1e6:.0f} | {cost.seconds:.2f} |')
    memory, time_ratio = checkpointed.activations / kept.activations, checkpointed.seconds / kept.seconds
    print(f'\n{memory:.2f} of the activations in {time_ratio:.2f} of the time')


def measure(opt: dict[str, Any], pictures: int, size: int, steps: int, threads: int) -> Cost:
    """Take steps in this process, which has done nothing else."""
    torch.set_num_threads(threads)
    model = model_in_training(opt)
    batch = batch_of(pictures, size)
    activations = forward_memory(model, batch)
    times = [seconds(lambda: step(model, batch)) for _ in range(steps)]
    parameters = sum(parameter.numel() for parameter in model.net_g.parameters())
    return Cost(parameters, activations, resident('VmHWM'), min(times))


def forward_memory(model: SystemModel[Any], batch: dict[str, Any]) -> int:
    """Bytes of resident memory that the forward pass of a training step adds."""
    seen = []

    def look(*_: object) -> None:
        ctypes.CDLL(None).malloc_trim(0)  # what is free does not stay resident
        seen.append(resident('VmRSS'))

    hooks = model.net_g.register_forward_pre_hook(look), model.net_g.register_forward_hook(look)
    model.feed_data(batch)
    model.optimize_parameters(1)
    for hook in hooks:
        hook.remove()
    before, after = seen
    return after - before


if __name__ == '__main__':
    main()
