"""The section ``val``: validation and test."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import msgspec

from entropy_sde_plugin.data.options import Pictures
from entropy_sde_plugin.errors import InputError, quoted, suggestion
from entropy_sde_plugin.options.arguments import check_names, is_ours, registered
from entropy_sde_plugin.options.names import check_folder_name
from entropy_sde_plugin.utils.schema import Positive, convert

__all__ = ['ValOptions', 'check_validation', 'needs_truth']


class ValOptions(msgspec.Struct, frozen=True):
    """Section ``val``: validation and test."""

    val_freq: Positive | None = None
    """Iterations from one validation to the next; required in training, unused in a test."""
    save_img: bool = False
    """Save the restored images."""
    suffix: str | int | None = None
    """Suffix of the file names of a test's images; the run's name by default."""
    pbar: bool = False
    """Show a progress bar."""
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] | None = None
    """Distinct seeds; the set is restored with each, and metrics are means with standard deviations. By default only
    ``sampler.seed``."""
    metrics: dict[str, dict[str, Any]] | None = None
    """Metrics, under names of your choice. Each has ``type``, a registered metric, its arguments, and ``better``:
    ``higher`` or ``lower``."""

    def __post_init__(self) -> None:
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"'seeds' contains duplicates: {', '.join(map(str, self.seeds))}.", option='seeds')


def check_validation(val: ValOptions, training: bool, pictures: Pictures) -> None:
    """Check ``val`` against the kind of run and ``val.metrics`` against the registered metrics.

    Args:
        val: The section.
        training: Whether the run is a training.
        pictures: What the model restores.

    Raises:
        InputError: A training without ``val_freq``; a ``suffix`` that cannot be part of a file name; unknown metric;
            unknown, missing or wrong argument; a metric of raw planes for RGB images; or a ``better`` that is neither
            ``higher`` nor ``lower``.
    """
    if training and val.val_freq is None:
        raise InputError("Option 'val.val_freq' is missing: add it to the option file.", 'val.val_freq')
    if val.suffix not in (None, ''):
        check_folder_name(str(val.suffix), 'val.suffix')
    for key, metric in (val.metrics or {}).items():
        where = f'val.metrics.{key}'
        function = registered('metric', metric.get('type'), f'{where}.type')
        if hasattr(function, 'takes_planes') and pictures != 'raw':
            path = f'{where}.type'
            raise InputError(f"'{path}': {metric['type']} compares raw planes, not RGB images.", path)
        check_names(function, metric.keys() - {'type', 'better'}, where, added=('img', 'img2'))
        _check_choice(metric, 'better', ('higher', 'lower'), where)
        _check_choice(metric, 'input_order', ('HWC', 'CHW'), where)
        hints = get_type_hints(inspect.unwrap(function)) if is_ours(function) else {}
        for argument in metric.keys() & hints.keys():
            convert(metric[argument], hints[argument], f'{where}.{argument}')
        border = metric.get('crop_border', 0)
        if type(border) is not int or border < 0:
            path = f'{where}.crop_border'
            raise InputError(f"Option '{path}': expected a whole number >= 0, but it is {quoted(border)}.", path)


def _check_choice(section: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> None:
    if key in section and section[key] not in choices:
        path = f'{where}.{key}'
        near = suggestion(str(section[key]), choices)
        raise InputError(f"Option '{path}': {quoted(section[key])} is not one of its values. {near}", path)


def needs_truth(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the keys of those ``val.metrics`` that compare with ground truth."""
    return [
        key
        for key, metric in metrics.items()
        if 'img2' in inspect.signature(registered('metric', metric.get('type'), f'val.metrics.{key}.type')).parameters
    ]
