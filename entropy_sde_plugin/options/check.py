"""Checks of the options before anything is loaded: an option dictionary becomes :class:`Options`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.errors import InputError, nearest
from entropy_sde_plugin.options import arguments
from entropy_sde_plugin.options.datasets import (
    check_parts,
    check_pictures,
    check_single_crops,
    check_truth,
    checked_datasets,
)
from entropy_sde_plugin.options.networks import build_network, check_crops, check_network
from entropy_sde_plugin.options.option_file import read_file
from entropy_sde_plugin.options.training import DiffusionTrainOptions, check_distillation, check_losses, check_training
from entropy_sde_plugin.options.validation import ValOptions, check_validation
from entropy_sde_plugin.utils.schema import parse

__all__ = ['Options', 'check', 'options_of']


@dataclass(frozen=True)
class Options:
    """The checked options of a run.

    Attributes:
        model: The model's own sections, an instance of its class's ``Options``; None for models that are not ours.
        train: The section ``train``, an instance of the model's ``TrainOptions``; None in a test.
        val: The section ``val``.
        datasets: The sections of our data sets, by their keys.
        network: The network of the section ``network_g``, on the device ``meta``; None for networks that are not ours.
    """

    model: Any = None
    train: Any = None
    val: ValOptions | None = None
    datasets: Mapping[str, DatasetOptions] = field(default_factory=dict)
    network: torch.nn.Module | None = None


def check(opt: Mapping[str, Any]) -> Options:
    """Check every option that this plugin is responsible for. Options of other models are not checked.

    Args:
        opt: BasicSR's option dictionary.

    Raises:
        InputError: A wrong option, which ``option`` names.
    """
    training, train, sections = bool(opt.get('is_train')), opt.get('train') or {}, opt.get('datasets') or {}
    model = _model_class(opt)
    is_ours = arguments.is_ours(model)
    network = build_network(opt['network_g']) if opt.get('network_g') is not None else None
    check_losses(train)
    datasets = checked_datasets(sections, training, is_ours)
    if not is_ours:
        check_single_crops(datasets)
        return Options(datasets=datasets, network=network)
    file = read_file(model, opt)
    check_network(file.network_g, model)
    check_pictures(datasets, model)
    own = model.Options(**{name: getattr(file, name) for name in model.Options.__struct_fields__})
    own.check_datasets(datasets)
    check_crops(network, datasets)
    if file.val is not None:
        check_validation(file.val, training, model.pictures)
        check_truth(datasets, file.val.metrics or {})
    if file.train is not None:
        check_training(file.train)
        if isinstance(file.train, DiffusionTrainOptions):
            check_distillation(file.train, states=len(own.process().times))
        crops = getattr(datasets.get('train'), 'crops_per_image', 1)
        check_parts(file.train.accumulate_steps, int(sections['train']['batch_size_per_gpu']) * crops)
    return Options(own, file.train, file.val, datasets, network)


def options_of(model: Any, opt: Mapping[str, Any]) -> Options:
    """Return the options of one of our models: those already checked, or else parsed from the dictionary.

    Args:
        model: The model's class.
        opt: BasicSR's option dictionary.

    Raises:
        InputError: An unknown, missing or wrong option.
    """
    checked = getattr(opt, 'checked', None)
    if checked is not None:
        return checked
    own = model.Options.from_options(opt)
    return Options(own, parse(model.TrainOptions, opt['train'], 'train') if opt['is_train'] else None)


def _model_class(opt: Mapping[str, Any]) -> Any:
    name = opt.get('model_type')
    if name is None:
        slip = nearest('model_type', opt)
        hint = f" Is '{slip}' a misspelling?" if slip else ''
        raise InputError(f"Option 'model_type' is missing: add it to the option file.{hint}", slip or '')
    return arguments.registered('model', name, 'model_type')
