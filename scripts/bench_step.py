"""Share of the spatial entropy loss in a training step, by levels, for the demonstration's and the paper's training.

A step is drawing, the network's forward and backward pass, the optimiser and the average; the loss is its own forward
and backward pass. Both are timed in one run, in turns, and the fastest of each counts: a shared machine only adds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from entropy_sde_plugin import register

register()

from basicsr.models import build_model  # noqa: E402
from torch import nn  # noqa: E402

from entropy_sde_plugin.losses.spatial_entropy_loss import SpatialEntropyLoss  # noqa: E402
from entropy_sde_plugin.resources import options_folder  # noqa: E402

LEVELS = (8, 16, 32, 64)
TRAININGS = {'demo': 'demo.yml', 'paper': 'train_lolv1_entropy.yml'}


class Recorder(nn.Module):
    """L1, which costs next to nothing, remembering what it compared."""

    def forward(self, predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.pair = predicted.detach(), target
        return (predicted - target).abs().mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--training', choices=TRAININGS, nargs='+', default=list(TRAININGS))
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f'CPU, {options.threads} threads, best of {options.repeats}')
    for name in options.training:
        bench(name, options_folder() / TRAININGS[name], options.repeats)


def bench(name: str, path: Path, repeats: int) -> None:
    opt = yaml.safe_load(path.read_text())
    opt |= {'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}
    train = opt['datasets']['train']
    batch, size = train['batch_size_per_gpu'], train['gt_size']
    entropy = opt['train'].get('entropy_opt') or {}
    stated = (entropy if entropy else opt['train']['pixel_opt']).get('levels')
    settings = {key: value for key, value in (entropy or opt['train']['pixel_opt']).items() if key != 'type'}
    if stated is None:
        settings = {}
    opt['train'] |= {'pixel_opt': {'type': 'L1Loss'}, 'entropy_opt': None}
    model = build_model(opt)
    model.cri_pix = recorder = Recorder()
    truth = torch.rand(batch, 3, size // 8, size // 8)
    truth = nn.functional.interpolate(truth, (size, size), mode='bicubic').clamp(0, 1)
    data = {'gt': truth, 'lq': 0.2 * truth, 'lq_path': ['']}

    def step() -> None:
        model.feed_data(data)
        model.optimize_parameters(1)

    losses = {levels: SpatialEntropyLoss(**{**settings, 'levels': levels}) for levels in LEVELS}
    step()
    steps, times = [], {levels: [] for levels in LEVELS}
    for _ in range(repeats):
        steps.append(seconds(step))
        for levels, loss in losses.items():
            times[levels].append(seconds(lambda loss=loss: backward(loss, *recorder.pair)))
    rest = min(steps)
    print(f'\n{name}: batch {batch}, {size}x{size}, step without the loss {rest * 1000:.0f} ms')
    print('| levels | loss, ms | share of the step |\n|---|---|---|')
    for levels in LEVELS:
        cost = min(times[levels])
        mark = ' (stated)' if levels == stated else ''
        print(f'| {levels}{mark} | {cost * 1000:.0f} | {100 * cost / (cost + rest):.1f}% |', flush=True)


def backward(loss: nn.Module, predicted: torch.Tensor, target: torch.Tensor) -> None:
    loss(predicted.clone().requires_grad_(), target).backward()


def seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == '__main__':
    main()
