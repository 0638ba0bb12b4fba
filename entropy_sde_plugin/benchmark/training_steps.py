"""A model in training as BasicSR builds it from an option file, and a batch for it, in this process."""

from __future__ import annotations

from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import interpolate

from entropy_sde_plugin import register

register()

from basicsr.models import build_model  # noqa: E402

from entropy_sde_plugin.losses import SpatialEntropyLoss  # noqa: E402
from entropy_sde_plugin.models.diffusion import DiffusionModel  # noqa: E402
from entropy_sde_plugin.models.system import SystemModel  # noqa: E402
from entropy_sde_plugin.utils.resources import options_folder  # noqa: E402

__all__ = [
    'TRAININGS',
    'backward',
    'batch_of',
    'compared_images',
    'entropy_loss',
    'model_in_training',
    'step',
    'training_options',
]

TRAININGS = {'demo': 'demo.yml', 'paper': 'train_lolv1_entropy.yml'}
"""The trainings that measurements are made of, by their option files."""


def training_options(file: str, device: str = 'cpu') -> dict[str, Any]:
    """Options of one of the package's option files as BasicSR's trainer would have read them, for this process alone.

    Args:
        file: Its name.
        device: ``'cpu'``, or ``'cuda'`` for one GPU.
    """
    opt = yaml.safe_load((options_folder() / file).read_text(encoding='utf-8'))
    return opt | {'num_gpu': int(device == 'cuda'), 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}


def model_in_training(opt: dict[str, Any], **train: Any) -> SystemModel[Any]:
    """Build the model of ``opt``, with some options of its section ``train`` changed, from its seed."""
    torch.manual_seed(0)
    return build_model(opt | {'train': opt['train'] | train})


def batch_of(pictures: int, size: int) -> dict[str, Any]:
    """Smooth images (images, 3, size, size) and dark ones at a fifth of their values."""
    truth = torch.rand(pictures, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(0))
    truth = interpolate(truth, (size, size), mode='bicubic').clamp(0, 1)
    return {'gt': truth, 'lq': 0.2 * truth, 'lq_path': [f'{number}.png' for number in range(pictures)]}


def step(model: SystemModel[Any], batch: dict[str, Any]) -> None:
    """A whole training step."""
    model.feed_data(batch)
    model.optimize_parameters(1)


class _Recorder(nn.Module):
    """L1, which costs next to nothing, remembering what it compared."""

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        self.images = predicted.detach(), target
        return (predicted - target).abs().mean()


def compared_images(model: SystemModel[Any], batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Take a step with L1 in place of ``pixel_opt``; return what was compared: prediction and target."""
    assert isinstance(model, DiffusionModel)
    criterion, model.cri_pix = model.cri_pix, _Recorder()
    step(model, batch)
    recorder, model.cri_pix = model.cri_pix, criterion
    return recorder.images


def entropy_loss(train: dict[str, Any], **changes: Any) -> SpatialEntropyLoss:
    """The ``SpatialEntropyLoss`` of a section ``train``, beside another loss or alone, with some arguments changed."""
    section = train.get('entropy_opt') or train['pixel_opt']
    return SpatialEntropyLoss(**{key: value for key, value in section.items() if key != 'type'} | changes)


def backward(loss: nn.Module, predicted: Tensor, target: Tensor) -> None:
    """A loss's forward and backward pass."""
    loss(predicted.clone().requires_grad_(), target).backward()
