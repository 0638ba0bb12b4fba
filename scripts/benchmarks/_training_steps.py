"""A model in training as BasicSR builds it from an option file, and a batch for it, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn.functional import interpolate

from entropy_sde_plugin import register

register()

from basicsr.models import build_model  # noqa: E402

from entropy_sde_plugin.models import IRSDEModel  # noqa: E402
from entropy_sde_plugin.utils.resources import options_folder  # noqa: E402

__all__ = ['TRAININGS', 'batch_of', 'model_in_training', 'seconds', 'step', 'training_options']

TRAININGS = {'demo': 'demo.yml', 'paper': 'train_lolv1_entropy.yml'}
"""The trainings that measurements are made of, by their option files."""


def training_options(name: str) -> dict[str, Any]:
    """Options of one of ``TRAININGS`` as BasicSR's trainer would have read them, for this process alone."""
    opt = yaml.safe_load(Path(options_folder(), TRAININGS[name]).read_text(encoding='utf-8'))
    return opt | {'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}


def model_in_training(opt: dict[str, Any], **train: Any) -> IRSDEModel:
    """Build the model of ``opt``, with some options of its section ``train`` changed, from its seed."""
    torch.manual_seed(0)
    return build_model(opt | {'train': opt['train'] | train})


def batch_of(pictures: int, size: int) -> dict[str, Any]:
    """Smooth images (images, 3, size, size) and dark ones at a fifth of their values."""
    truth = torch.rand(pictures, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(0))
    truth = interpolate(truth, (size, size), mode='bicubic').clamp(0, 1)
    return {'gt': truth, 'lq': 0.2 * truth, 'lq_path': [f'{number}.png' for number in range(pictures)]}


def step(model: IRSDEModel, batch: dict[str, Any]) -> None:
    """A whole training step."""
    model.feed_data(batch)
    model.optimize_parameters(1)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
