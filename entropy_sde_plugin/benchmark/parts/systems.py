"""One training step of every registered system, on photographs, against the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import yaml
from basicsr.data import build_dataset
from torch.utils.data import default_collate

from entropy_sde_plugin.benchmark.comparing import compared
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.benchmark.timing import fastest
from entropy_sde_plugin.benchmark.training_steps import model_in_training, step, training_options
from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.models.system import SystemModel
from entropy_sde_plugin.options.arguments import is_ours, registry_of
from entropy_sde_plugin.utils.resources import options_folder

ALLOWED = 1e-2
"""Of the losses and the gradient, relative in the L2 norm. Photon counts are whole: one that a rounding of its mean
changes is all that differs between devices, and then by more than roundings."""


def rows(settings: Settings) -> Iterator[Row]:
    """Take a step with each system's training on photographs."""
    write_demo_databases('datasets')
    yield from attempts(systems(), lambda name: _compare(name, settings))


def systems() -> list[str]:
    """Names of the registered systems."""
    return [name for name, kind in registry_of('model') if is_ours(kind) and issubclass(kind, SystemModel)]


def option_file(system: str) -> str:
    """Return a system's first option file whose training data are synthesised from bright photographs.

    Raises:
        FileNotFoundError: There is none.
    """
    for file in sorted(options_folder().glob('*.yml')):
        opt = yaml.safe_load(file.read_text(encoding='utf-8'))
        if opt.get('model_type') == system and opt['datasets'].get('train', {}).get('type', '').startswith('Synthetic'):
            return file.name
    raise FileNotFoundError(f'no option file trains a {system} on a Synthetic… data set')


def _compare(system: str, settings: Settings) -> Row:
    file = option_file(system)
    opt = training_options(file)
    section = opt['datasets']['train'] | {'phase': 'train', 'dataroot_gt': 'datasets/train_gt.lmdb'}
    dataset: Any = build_dataset(section)
    count = 2 if settings.quick else section['batch_size_per_gpu']
    batch = default_collate([dataset[index] for index in range(count)])
    models = [model_in_training(training_options(file, device), tf32=False) for device in ('cpu', settings.device)]
    for model in models:
        step(model, batch)
    on_cpu, on_device = (_losses_and_gradient(model) for model in models)
    seconds = fastest({system: partial(step, models[1], batch)}, repeats=1 if settings.quick else 10)[system]
    return compared(system, on_device, on_cpu, ALLOWED, **{'step, ms': 1000 * seconds})


def _losses_and_gradient(model: SystemModel[Any]) -> list[torch.Tensor]:
    losses = torch.tensor(list(model.get_current_log().values()))
    gradients = [parameter.grad.cpu() for parameter in model.net_g.parameters() if parameter.grad is not None]
    return [losses, torch.cat([gradient.flatten() for gradient in gradients])]
