"""What a run starts from, its data sets and its weights: seen before anything is logged or made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from entropy_sde_plugin.checkpoints import weights
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import arguments
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.utils.distributed import warn
from entropy_sde_plugin.utils.schema import OptionError

__all__ = ['check']

_MOST_DRAWS = 100_000_000
"""Of an epoch: BasicSR lists them all, in some 40 bytes each."""

_READ_WHOLE = 64 << 20
"""Bytes of weights up to which a run reads them twice, and learns at once whether all are finite."""


def check(opt: Mapping[str, Any]) -> None:
    """Look at the files that checked options name, as far as this plugin answers for them. No picture is decoded.

    Raises:
        OptionError: A line for each fault: what is missing, damaged, too small for the crops or the metrics, or made
            for other options.
    """
    for name, section in opt['datasets'].items():
        dataset = _check_dataset(section, f'datasets.{name}', _borders(opt))
        if dataset is not None and name == 'train' and opt.get('is_train'):
            _check_epoch(opt, len(dataset))
    if opt['model_type'] == 'IRSDEModel' and opt['path'].get('pretrain_network_g') and not _goes_on(opt):
        try:
            _check_weights(opt)
        except InputError as error:
            raise OptionError(str(error), 'path.pretrain_network_g') from None


# --- data sets --------------------------------------------------------------------------------------------------------


def _check_dataset(section: Mapping[str, Any], where: str, borders: Mapping[str, int]) -> Any:
    """Build a data set of ours, and compare its pictures with the borders that metrics cut off; none for others'."""
    kind = arguments.named_class('dataset', section, where)
    if not arguments.is_ours(kind):
        return None
    try:
        dataset = kind(section)
    except InputError as error:
        raise OptionError(str(error), f'{where}{_culprit(str(error), section)}') from None
    for option, border in borders.items() if section['phase'] != 'train' else ():
        height, width = min(dataset.sizes(), key=min)
        if 2 * border >= min(height, width):
            raise OptionError(
                f"'{option}' cuts {border} pixels off every side, and '{where}' has a picture of {width}x{height}: "
                'nothing would be left of it; lower crop_border.',
                option,
            )
    return dataset


def _check_epoch(opt: Mapping[str, Any], pictures: int) -> None:
    """See that an epoch has a batch, and can be listed."""
    section, processes = opt['datasets']['train'], opt['world_size']
    gpus = 1 if opt['dist'] or not torch.cuda.is_available() else max(opt['num_gpu'], 1)
    batch = int(section.get('batch_size_per_gpu', 1)) * gpus
    share = math.ceil(pictures * section.get('dataset_enlarge_ratio', 1) / processes)
    where = 'datasets.train.'
    if share * processes > _MOST_DRAWS:
        raise OptionError(
            f"'{where}dataset_enlarge_ratio' makes an epoch of {share * processes:.3g} pictures, more than "
            f'{_MOST_DRAWS:,}: lower it.',
            f'{where}dataset_enlarge_ratio',
        )
    if share < batch:
        enlarged = 'dataset_enlarge_ratio' in section
        raise OptionError(
            f"'{where.rstrip('.')}' gives a process {share} pictures an epoch, fewer than the batch of {batch}: lower "
            'batch_size_per_gpu, raise dataset_enlarge_ratio, or give more pictures.',
            where + ('dataset_enlarge_ratio' if enlarged else 'batch_size_per_gpu'),
        )


def _culprit(message: str, section: Mapping[str, Any]) -> str:
    """Which option of a data set's section a message is about, by what it names; none where it names none."""
    if 'gt_size' in message:
        return '.gt_size'
    paths = {key: section[key] for key in section if key.startswith(('dataroot', 'meta_info')) and section[key]}
    named = [key for key, path in paths.items() if str(Path(path)) in message and Path(path) != Path()]
    return f'.{max(named, key=lambda key: len(paths[key]))}' if named else ''


def _borders(opt: Mapping[str, Any]) -> dict[str, int]:
    """The options ``crop_border`` of a run's metrics."""
    metrics = (opt.get('val') or {}).get('metrics') or {}
    borders = {f'val.metrics.{key}.crop_border': metric.get('crop_border') for key, metric in metrics.items()}
    return {option: border for option, border in borders.items() if isinstance(border, int)}


# --- weights ----------------------------------------------------------------------------------------------------------


def _goes_on(opt: Mapping[str, Any]) -> bool:
    """Whether the weights are those of a training state, whatever the options name."""
    path = opt['path']
    if not opt.get('is_train') or 'network_g' in (path.get('ignore_resume_networks') or ()):
        return False
    return bool(path.get('resume_state')) or (opt['auto_resume'] and any(Path(path['training_states']).glob('*.state')))


def _check_weights(opt: Mapping[str, Any]) -> None:
    """See that the weights can be read, and fit the network and the diffusion of the options."""
    section, file = opt['path'], weights.check_file(opt['path']['pretrain_network_g'])
    wanted = section.get('param_key_g', 'params')
    unread = file.stat().st_size > _READ_WHOLE
    state, settings, taken = weights.load_weights(file, wanted, unread=unread)
    if wanted is not None and taken not in (wanted, None):
        warn(f"Weights '{file}' hold no '{wanted}' (path.param_key_g): taking their '{taken}', as BasicSR does.")
    network = arguments.build_without_memory('arch', opt['network_g'], 'network_g')
    try:
        if settings is not None:
            weights.check_settings(settings, IRSDEOptions.from_options(opt))
        if network is not None and section.get('strict_load_g', True):
            weights.load_into(network, state, 'network_g', assign=True)
    except InputError as error:
        raise InputError(f"Weights '{file}': {error}") from None
