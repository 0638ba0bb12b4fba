"""Options, checked before anything is loaded: an option dictionary becomes :class:`Options`, each section once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.errors import InputError, nearest, suggestion
from entropy_sde_plugin.options import arguments, option_file
from entropy_sde_plugin.options import datasets as dataset_sections
from entropy_sde_plugin.options.networks import build_network, check_network
from entropy_sde_plugin.options.training import check_losses, check_training
from entropy_sde_plugin.options.validation import ValOptions, check_validation
from entropy_sde_plugin.utils.schema import check_known, parse

__all__ = ['Options', 'check', 'options_of']


@dataclass(frozen=True)
class Options:
    """The checked options of a run.

    Attributes:
        model: The model's own sections, as its class declares them in ``Options``; None for others' models.
        train: The section ``train``, as the model's class declares it in ``TrainOptions``; None in a test.
        val: The section ``val``.
        datasets: The sections of our data sets, by their keys.
        network: The network of the section ``network_g``, without memory; None for others' networks.
    """

    model: Any = None
    train: Any = None
    val: ValOptions | None = None
    datasets: Mapping[str, DatasetOptions] = field(default_factory=dict)
    network: torch.nn.Module | None = None


def check(opt: Mapping[str, Any]) -> Options:
    """Check every option that this plugin is responsible for. Options of other models are left alone.

    Args:
        opt: BasicSR's option dictionary.

    Raises:
        InputError: In one line, what is wrong; its ``option`` says where.
    """
    training, sections = bool(opt.get('is_train')), opt.get('datasets') or {}
    model = _model_class(opt)
    network = build_network(opt['network_g']) if opt.get('network_g') is not None else None
    check_losses(opt.get('train') or {})
    if arguments.is_ours(model):
        dataset_sections.check_keys(sections, training)
    parsed = {key: dataset_sections.dataset_options(section, f'datasets.{key}') for key, section in sections.items()}
    datasets = {key: options for key, options in parsed.items() if options is not None}
    if not arguments.is_ours(model):
        return Options(datasets=datasets, network=network)
    written, struct = option_file.as_written(opt), option_file.top_level(model)
    check_known(written, '', struct)  # before missing sections: one may be misspelt
    option_file.check_presence(opt)
    dataset_sections.check_sets(sections, training)
    file = parse(struct, written, '')
    options = Options(_own_sections(model, file), file.train, file.val, datasets, network)
    check_network(file.network_g)
    _check_relations(file, options, training)
    return options


def options_of(model: Any, opt: Mapping[str, Any]) -> Options:
    """Return the options of a model of ours: those that the run's check has left, or else parsed from the dictionary.

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
        hint = f" Is '{slip}' a slip?" if slip else ''
        raise InputError(f"Option 'model_type' is missing: add it to the option file.{hint}", slip or '')
    models = arguments.registry_of('model')
    model = next((models.get(key) for key in (str(name), f'{name}_basicsr') if key in models), None)
    if model is None:
        hint = suggestion(str(name), models.keys())
        raise InputError(f"'model_type': there is no '{name}'. {hint}", 'model_type')
    return model


def _own_sections(model: Any, file: option_file.OptionFile) -> Any:
    return model.Options(**{name: getattr(file, name) for name in model.Options.__struct_fields__})


def _check_relations(file: option_file.OptionFile, options: Options, training: bool) -> None:
    """Check what options of one section require of others, and of what is installed."""
    if file.val is not None:
        check_validation(file.val, training)
        dataset_sections.check_truth(options.datasets, file.val.metrics or {})
    if file.logger is not None and training:
        option_file.check_logger(file.logger, file.name)
    if file.train is not None:
        check_training(file.train)
        batch = int(file.datasets['train']['batch_size_per_gpu'])
        dataset_sections.check_parts(file.train.accumulate_steps, batch)
