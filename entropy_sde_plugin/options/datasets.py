"""The sections ``datasets`` of an option file: which there may be, what stands in them, and what others ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.errors import shown
from entropy_sde_plugin.options import arguments, option_file
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, OptionError, convert, parse

__all__ = ['check_keys', 'check_options', 'check_parts', 'check_sets', 'check_truth']

_LOADER_OPTIONS = {
    'batch_size_per_gpu': AtLeastOne,
    'num_worker_per_gpu': NotNegative,
}
"""What BasicSR's loader reads from the training set's section, whoever wrote the data set."""


def check_options(section: Any, where: str) -> DatasetOptions | None:
    """Check a section by the options that one of our data sets declares; None for others' data sets.

    Raises:
        OptionError: No such data set, or an unknown, missing or wrong option.
    """
    dataset = arguments.named_class('dataset', section, where)
    return parse(dataset.Options, section, where) if arguments.is_ours(dataset) else None


def check_keys(datasets: Mapping[str, Any], training: bool) -> None:
    """Check that a run of ours uses each of its sets.

    Raises:
        OptionError: One that it does not: BasicSR fails there, or tests on the crops of a training.
    """
    names = "'train', once, and 'val', 'val_2', …" if training else "'test', 'test_2', … or 'val', 'val_2', …"
    for key in datasets:
        kind = key.split('_')[0]
        if not (kind == 'val' or (key == 'train' if training else kind == 'test')):
            where, run = f'datasets.{key}', 'training' if training else 'test'
            raise OptionError(f"Section '{where}': a {run} has no such set; it has {names}.", where)


def check_sets(datasets: Mapping[str, Any], training: bool) -> None:
    """Check that the sets a run of ours needs are there, their names, and what the loader reads.

    Raises:
        OptionError: One is missing; a name cannot be that of a folder, or is that of another set: pictures and tables
            lie below it; or an option of the loader is missing or wrong.
    """
    if training and 'train' not in datasets:
        raise OptionError("Section 'datasets.train' is missing: add it to the option file.", 'datasets.train')
    if not datasets:
        raise OptionError("Section 'datasets' is empty: name the set to test, as 'test'.", 'datasets')
    restored: dict[str, str] = {}
    for key, section in datasets.items():
        where = f'datasets.{key}'
        if section.get('name') is None:
            raise OptionError(f"Option '{where}.name' is missing: add it to the option file.", f'{where}.name')
        option_file.check_folder_name(section['name'], f'{where}.name')
        if key != 'train':
            _check_restored_once(section['name'], where, restored)
        _check_loader(section, where, loads_in_workers=key == 'train')


def _check_restored_once(name: str, where: str, restored: dict[str, str]) -> None:
    if name in restored:
        raise OptionError(
            f"'{where}.name' is {shown(name)}, as '{restored[name]}.name' is: pictures and values of the one would "
            'replace those of the other; give each a name of its own.',
            f'{where}.name',
        )
    restored[name] = where


def _check_loader(section: Mapping[str, Any], where: str, loads_in_workers: bool) -> None:
    for option, kind in _LOADER_OPTIONS.items() if loads_in_workers else ():
        path = f'{where}.{option}'
        if option not in section:
            raise OptionError(f"Option '{path}' is missing: add it to the option file.", path)
        convert(section[option], kind, path)
    workers = section['num_worker_per_gpu'] if loads_in_workers else 0  # BasicSR validates without any
    if section.get('persistent_workers') and not workers:
        path = f'{where}.persistent_workers'
        reason = 'num_worker_per_gpu is 0' if loads_in_workers else 'only a training set has workers'
        raise OptionError(f"'{path}' is true, but {reason}: leave it out.", path)


def check_truth(opt: Mapping[str, Any]) -> None:
    """Check that the sets have the ground truth that the metrics of ``val`` compare with.

    Raises:
        OptionError: One of ours has none.
    """
    metrics = option_file.needs_truth(opt['val'])
    for name, section in opt['datasets'].items() if metrics else ():
        where = f'datasets.{name}'
        options = check_options(section, where)
        if options is not None and options.phase != 'train' and not options.has_truth:
            raise OptionError(
                f"'val.metrics': {', '.join(metrics)} compare with ground truth, and '{where}' has none: give "
                'dataroot_gt, or write `metrics: ~`.',
                where,
            )


def check_parts(parts: int, batch: int) -> None:
    """Check that a batch has a picture for each of the parts in which it passes the network.

    Raises:
        OptionError: It has fewer.
    """
    if parts > batch:
        raise OptionError(
            f"'train.accumulate_steps' is {parts}, but a batch has {batch} pictures (datasets.train."
            'batch_size_per_gpu) to be passed in parts: lower the one or raise the other.',
            'train.accumulate_steps',
        )
