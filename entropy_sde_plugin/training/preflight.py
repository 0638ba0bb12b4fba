"""Checks of the data sets and weights of a run, before anything is logged or created."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from entropy_sde_plugin.checkpoints import weights
from entropy_sde_plugin.checkpoints.model import Model
from entropy_sde_plugin.checkpoints.weights_file import WeightsFile
from entropy_sde_plugin.errors import InputError, about
from entropy_sde_plugin.options import arguments
from entropy_sde_plugin.options.check import Options
from entropy_sde_plugin.options.run_options import DatasetSection
from entropy_sde_plugin.training import distillation
from entropy_sde_plugin.utils.distributed import warn

__all__ = ['check', 'read_teacher']

_MOST_DRAWS = 100_000_000
"""Maximum draws of an epoch: BasicSR keeps them in a list, about 40 bytes each."""


def check(opt: dict[str, Any], options: Options) -> WeightsFile | None:
    """Check the files in the options that this plugin is responsible for. No image is decoded.

    Our data sets are built here and stored in their sections, where BasicSR's loaders find them.

    Args:
        opt: BasicSR's option dictionary.
        options: The checked options.

    Returns:
        The weights to start from, for the model; None if there are none, or if they are too large to keep.

    Raises:
        InputError: One line for each file that is missing, damaged, too small for the crops or the metrics, or does
            not fit the options.
    """
    for name in options.datasets:
        _build_dataset(opt, name, options)
        if name == 'train' and opt.get('is_train'):
            _check_epoch(opt, len(opt['datasets'][name].built))
    if options.model is None or opt['path'].get('pretrain_network_g') is None or _resumes(opt):
        return None
    with about('path.pretrain_network_g'):
        return _read_weights(opt['path'], options)


# --- data sets --------------------------------------------------------------------------------------------------------


def _build_dataset(opt: dict[str, Any], name: str, options: Options) -> None:
    """Build a data set of ours, and check that its images are larger than the borders that metrics cut off."""
    where = f'datasets.{name}'
    section = opt['datasets'][name] = DatasetSection(opt['datasets'][name], options.datasets[name])
    with about(where):
        section.built = arguments.named_class('dataset', section, where)(section)
    scored = options.model is not None and section['phase'] != 'train'  # BasicSR's models continue with NaN
    for option, border in _borders(opt).items() if scored else ():
        height, width = min(section.built.sizes(), key=min)
        if 2 * border >= min(height, width):
            raise InputError(
                f"'{option}' cuts {border} pixels off every side, and '{where}' has an image of {width}x{height}: "
                'nothing would be left; lower crop_border.',
                option,
            )


def _check_epoch(opt: Mapping[str, Any], pictures: int) -> None:
    """Check that an epoch has at least one batch, and is not too long for a list."""
    section, processes = opt['datasets']['train'], opt['world_size']
    gpus = 1 if opt['dist'] or not torch.cuda.is_available() else max(opt['num_gpu'], 1)
    batch = int(section.get('batch_size_per_gpu', 1)) * gpus
    share = math.ceil(pictures * section.get('dataset_enlarge_ratio', 1) / processes)
    where = 'datasets.train.'
    if share * processes > _MOST_DRAWS:
        raise InputError(
            f"'{where}dataset_enlarge_ratio' makes an epoch of {share * processes:.3g} images, more than "
            f'{_MOST_DRAWS:,}: lower it.',
            f'{where}dataset_enlarge_ratio',
        )
    if share < batch:
        enlarged = 'dataset_enlarge_ratio' in section
        raise InputError(
            f"'{where.rstrip('.')}' gives a process {share} images per epoch, fewer than its batch of {batch}: lower "
            'batch_size_per_gpu, raise dataset_enlarge_ratio, or add images.',
            where + ('dataset_enlarge_ratio' if enlarged else 'batch_size_per_gpu'),
        )


def _borders(opt: Mapping[str, Any]) -> dict[str, int]:
    """Return the options ``crop_border`` of a run's metrics."""
    metrics = (opt.get('val') or {}).get('metrics') or {}
    borders = {f'val.metrics.{key}.crop_border': metric.get('crop_border') for key, metric in metrics.items()}
    return {option: border for option, border in borders.items() if isinstance(border, int)}


# --- weights ----------------------------------------------------------------------------------------------------------


def read_teacher(opt: Mapping[str, Any], options: Options) -> Model | None:
    """Read the teacher of a training (``train.distillation``) and keep it for the model; None if there is none.

    Raises:
        InputError: The file does not hold a model, or one of another process or kind of network.
    """
    wanted = getattr(options.train, 'distillation', None)
    if wanted is None:
        return None
    network = arguments.named_class('arch', opt['network_g'], 'network_g')
    return distillation.read_teacher(wanted, options.model, network)


def _resumes(opt: Mapping[str, Any]) -> bool:
    """Return whether the weights come from a training state instead of ``path.pretrain_network_g``."""
    path = opt['path']
    if not opt.get('is_train') or 'network_g' in (path.get('ignore_resume_networks') or ()):
        return False
    return bool(path.get('resume_state')) or (opt['auto_resume'] and any(Path(path['training_states']).glob('*.state')))


def _read_weights(section: Mapping[str, Any], options: Options) -> WeightsFile | None:
    """Check that the weights are readable and fit the network and the diffusion of the options."""
    file, wanted = WeightsFile(section['pretrain_network_g'], lazy=True), section.get('param_key_g')
    state, settings, taken = file.weights(wanted or 'params')
    if wanted is not None and taken is not None and wanted not in taken.split('.'):
        warn(f"Weights '{file.path}' hold no '{wanted}' (path.param_key_g): using '{taken}'.")
    try:
        if settings is not None:
            weights.check_settings(settings, options.model)
        if options.network is not None and section.get('strict_load_g', True):
            weights.load_into(copy.deepcopy(options.network), state, 'network_g', assign=True)
    except InputError as error:
        raise InputError(f"Weights '{file.path}': {error}") from None
    return None if file.on_disk else file
