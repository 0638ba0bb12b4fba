"""Share of the spatial entropy loss in a training step, by levels, for the demonstration's and the paper's training.

    python scripts/benchmarks/bench_step.py

A step is drawing, the network's forward and backward pass, the optimiser and the average; the loss is its own forward
and backward pass. Both are timed in one run, in turns, and the fastest of each counts: other work only adds time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch

from entropy_sde_plugin.benchmark.timing import fastest
from entropy_sde_plugin.benchmark.training_steps import (
    TRAININGS,
    backward,
    batch_of,
    compared_images,
    entropy_loss,
    model_in_training,
    step,
    training_options,
)

LEVELS = (8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--training', choices=TRAININGS, nargs='+', default=list(TRAININGS))
    parser.add_argument('--repeats', type=int, default=5)
    options = parser.parse_args()
    print(f'CPU, {torch.get_num_threads()} threads, best of {options.repeats}')
    for name in options.training:
        print(shares(name, options.repeats), flush=True)


def shares(name: str, repeats: int) -> str:
    """The table of a training: what the loss takes at each of ``LEVELS``, with the option file's other settings."""
    opt = training_options(TRAININGS[name])
    pictures, size = (opt['datasets']['train'][key] for key in ('batch_size_per_gpu', 'gt_size'))
    model = model_in_training(opt, pixel_opt={'type': 'L1Loss'}, entropy_opt=None)
    batch = batch_of(pictures, size)
    images = compared_images(model, batch)
    calls: dict[str, Callable[[], object]] = {'rest': partial(step, model, batch)}
    for levels in LEVELS:
        calls[str(levels)] = partial(backward, entropy_loss(opt['train'], levels=levels), *images)
    times = fastest(calls, repeats)
    rest, stated = times['rest'], entropy_loss(opt['train']).levels
    lines = [f'\n{name}: batch {pictures}, {size}x{size}, step without the loss {rest * 1000:.0f} ms', '']
    lines += ['| levels | loss, ms | share of the step |', '|---|---|---|']
    for levels in LEVELS:
        cost = times[str(levels)]
        mark = ' (stated)' if levels == stated else ''
        lines.append(f'| {levels}{mark} | {cost * 1000:.0f} | {100 * cost / (cost + rest):.1f}% |')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
