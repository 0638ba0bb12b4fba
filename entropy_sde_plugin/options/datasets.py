"""The sections ``datasets``: their keys, their options, and what other sections require of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.options import arguments
from entropy_sde_plugin.options.names import check_folder_name
from entropy_sde_plugin.options.validation import needs_truth
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, convert, parse

__all__ = ['check_parts', 'check_pictures', 'check_single_crops', 'check_truth', 'checked_datasets']

_LOADER_OPTIONS = {
    'batch_size_per_gpu': AtLeastOne,
    'num_worker_per_gpu': NotNegative,
}
"""The options that BasicSR's loader reads from the training set's section, whatever the data set's class."""


def checked_datasets(sections: Mapping[str, Any], training: bool, of_ours: bool) -> dict[str, DatasetOptions]:
    """Return the options of our data sets, as the structs that the data sets declare, by their keys.

    Args:
        sections: The sections ``datasets``.
        training: Whether the run is a training; otherwise it is a test.
        of_ours: Whether the model is one of ours; then the data sets must be exactly those that the run uses.

    Raises:
        InputError: Unknown data set; unknown, missing or wrong option; a set that is missing or not used; a name that
            is used twice or cannot name a folder.
    """
    if of_ours:
        _check_keys(sections, training)
    checked = {}
    for key, section in sections.items():
        dataset = arguments.named_class('dataset', section, f'datasets.{key}')
        if arguments.is_ours(dataset):
            checked[key] = parse(dataset.Options, section, f'datasets.{key}')
    if of_ours:
        _check_sets(sections, training)
    return checked


def _check_keys(datasets: Mapping[str, Any], training: bool) -> None:
    """Check that a run of one of our models uses each of its data sets.

    Raises:
        InputError: It does not use one; BasicSR would fail, or test on training crops.
    """
    names = "'train' and 'val', 'val_2', …" if training else "'test', 'test_2', … or 'val', 'val_2', …"
    for key in datasets:
        kind = key.split('_')[0]
        if not (kind == 'val' or (key == 'train' if training else kind == 'test')):
            where, run = f'datasets.{key}', 'training' if training else 'test'
            raise InputError(f"Section '{where}': a {run} does not use it. A {run} has the sets {names}.", where)


def _check_sets(datasets: Mapping[str, Any], training: bool) -> None:
    """Check that the data sets of a run of one of our models exist, their names, and the loader's options.

    Raises:
        InputError: One is missing; a name is used twice or cannot name a folder (images and tables are stored under
            it); or an option of the loader is missing or wrong.
    """
    if training and 'train' not in datasets:
        raise InputError("Section 'datasets.train' is missing: add it to the option file.", 'datasets.train')
    if not datasets:
        raise InputError("Section 'datasets' is empty: name the set to test, as 'test'.", 'datasets')
    restored: dict[str, str] = {}
    for key, section in datasets.items():
        where = f'datasets.{key}'
        if section.get('name') is None:
            raise InputError(f"Option '{where}.name' is missing: add it to the option file.", f'{where}.name')
        check_folder_name(section['name'], f'{where}.name')
        if key != 'train':
            _check_restored_once(section['name'], where, restored)
        _check_loader(section, where, loads_in_workers=key == 'train')


def _check_restored_once(name: str, where: str, restored: dict[str, str]) -> None:
    if name in restored:
        raise InputError(
            f"'{where}.name' is {quoted(name)}, like '{restored[name]}.name': images and values of one would "
            'overwrite those of the other. Give each data set its own name.',
            f'{where}.name',
        )
    restored[name] = where


def _check_loader(section: Mapping[str, Any], where: str, loads_in_workers: bool) -> None:
    for option, kind in _LOADER_OPTIONS.items() if loads_in_workers else ():
        path = f'{where}.{option}'
        if option not in section:
            raise InputError(f"Option '{path}' is missing: add it to the option file.", path)
        convert(section[option], kind, path)
    workers = section['num_worker_per_gpu'] if loads_in_workers else 0  # BasicSR validates without workers
    if section.get('persistent_workers') and not workers:
        path = f'{where}.persistent_workers'
        reason = 'num_worker_per_gpu is 0' if loads_in_workers else 'only a training set has workers'
        raise InputError(f"'{path}' is true, but {reason}: leave it out.", path)


def check_truth(datasets: Mapping[str, DatasetOptions], metrics: Mapping[str, Any]) -> None:
    """Check that the data sets have the ground truth that the metrics of ``val`` need.

    Args:
        datasets: Options of our data sets.
        metrics: The section ``val.metrics``.

    Raises:
        InputError: One of them has no ground truth.
    """
    comparing = needs_truth(metrics)
    for name, options in datasets.items() if comparing else ():
        where = f'datasets.{name}'
        if options.phase != 'train' and not options.has_truth:
            raise InputError(
                f"'val.metrics': {', '.join(comparing)} compare with ground truth, but '{where}' has none: give "
                'dataroot_gt, or write `metrics: ~`.',
                where,
            )


def check_pictures(datasets: Mapping[str, DatasetOptions], model: Any) -> None:
    """Check that the data sets hold what a model of ours restores: RGB images, or raw planes.

    Raises:
        InputError: One of them holds the other.
    """
    kinds = {'rgb': 'RGB images', 'raw': 'raw planes'}
    for key, options in datasets.items():
        if options.pictures != model.pictures:
            path = f'datasets.{key}.type'
            raise InputError(
                f"'{path}': {options.type} holds {kinds[options.pictures]}, but {model.__name__} restores "
                f'{kinds[model.pictures]}: use a data set that holds them.',
                path,
            )


def check_parts(parts: int, batch: int) -> None:
    """Check that a batch has at least as many images as ``train.accumulate_steps`` parts.

    Raises:
        InputError: It has fewer images.
    """
    if parts > batch:
        raise InputError(
            f"'train.accumulate_steps' is {parts}, but a batch has {batch} images (datasets.train."
            'batch_size_per_gpu): lower the first or raise the second.',
            'train.accumulate_steps',
        )


def check_single_crops(datasets: Mapping[str, DatasetOptions]) -> None:
    """Check that our data sets give other packages' models one crop of an image: they expect four-dimensional batches.

    Raises:
        InputError: One of them gives several.
    """
    for key, options in datasets.items():
        if getattr(options, 'crops_per_image', 1) > 1:
            path = f'datasets.{key}.crops_per_image'
            raise InputError(f"'{path}' is for the diffusion models of this package: leave it out.", path)
