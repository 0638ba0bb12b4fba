"""Share of the spatial entropy loss in a training step, by levels, for the demonstration's and the paper's training.

    python scripts/benchmarks/bench_step.py

A step is drawing, the network's forward and backward pass, the optimiser and the average; the loss is its own forward
and backward pass. Both are timed in one run, in turns, and the fastest of each counts: a shared machine only adds.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from _training_steps import TRAININGS, batch_of, model_in_training, seconds, step, training_options
from torch import Tensor, nn

from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss

LEVELS = (8, 16, 32, 64)


class Recorder(nn.Module):
    """L1, which costs next to nothing, remembering what it compared."""

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        self.pair = predicted.detach(), target
        return (predicted - target).abs().mean()


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
    opt = training_options(name)
    pictures, size = (opt['datasets']['train'][key] for key in ('batch_size_per_gpu', 'gt_size'))
    settings = entropy_settings(opt['train'])
    losses = {levels: SpatialEntropyLoss(**{**settings, 'levels': levels}) for levels in LEVELS}
    model = model_in_training(opt, pixel_opt={'type': 'L1Loss'}, entropy_opt=None)
    model.cri_pix = recorder = Recorder()
    batch = batch_of(pictures, size)

    step(model, batch)
    steps, times = [], {levels: [] for levels in LEVELS}
    for _ in range(repeats):
        steps.append(seconds(lambda: step(model, batch)))
        for levels, loss in losses.items():
            times[levels].append(seconds(lambda loss=loss: backward(loss, *recorder.pair)))
    rest = min(steps)
    lines = [f'\n{name}: batch {pictures}, {size}x{size}, step without the loss {rest * 1000:.0f} ms', '']
    lines += ['| levels | loss, ms | share of the step |', '|---|---|---|']
    for levels in LEVELS:
        cost = min(times[levels])
        mark = ' (stated)' if levels == settings['levels'] else ''
        lines.append(f'| {levels}{mark} | {cost * 1000:.0f} | {100 * cost / (cost + rest):.1f}% |')
    return '\n'.join(lines)


def entropy_settings(train: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the training's ``SpatialEntropyLoss``, beside another loss or alone."""
    section = train.get('entropy_opt') or train['pixel_opt']
    return {key: value for key, value in section.items() if key != 'type'}


def backward(loss: nn.Module, predicted: Tensor, target: Tensor) -> None:
    loss(predicted.clone().requires_grad_(), target).backward()


if __name__ == '__main__':
    main()
