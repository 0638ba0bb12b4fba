"""The paper's training step under the options of ``train`` that are for speed, and the loss's share of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from entropy_sde_plugin.benchmark.memory import PeakMemory
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
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

CASES: dict[str, dict[str, Any]] = {
    'fp32': {'tf32': False},
    'TF32': {'tf32': True},
    'bf16': {'tf32': True, 'precision': 'bf16'},
    'bf16, channels-last': {'tf32': True, 'precision': 'bf16', 'channels_last': True},
    'bf16, compiled': {'tf32': True, 'precision': 'bf16', 'compile': True},
}
"""Options of the section ``train``."""


def rows(settings: Settings) -> Iterator[Row]:
    """Measure each case."""
    opt = training_options(TRAININGS['paper'], settings.device)
    section = opt['datasets']['train']
    pictures, size = section['batch_size_per_gpu'], section['gt_size']
    if settings.quick:
        opt['network_g'] |= {'width': 4, 'enc_blk_nums': [1], 'middle_blk_num': 1, 'dec_blk_nums': [1]}
        pictures, size = 1, 16
    batch = batch_of(pictures, size)
    cases = [name for name, train in CASES.items() if not (settings.quick and train.get('compile'))]
    yield from attempts(cases, lambda name: _measure(name, opt, batch, settings))


def _measure(name: str, opt: dict[str, Any], batch: dict[str, Any], settings: Settings) -> Row:
    memory = PeakMemory(torch.device(settings.device))
    model = model_in_training(opt, **CASES[name])
    images = compared_images(model, batch)  # a step, which compiles
    loss = entropy_loss(opt['train']).to(settings.device)
    calls = {'step': partial(step, model, batch), 'loss': partial(backward, loss, *images)}
    times = fastest(calls, repeats=1 if settings.quick else 5)
    values = {
        'step, ms': 1000 * times['step'],
        'loss, ms': 1000 * times['loss'],
        'share of the loss, %': 100 * times['loss'] / times['step'],
        'peak with weights, MB': memory.above_baseline() / 1e6,
    }
    return Row(name, values)
