"""Numbers that YAML reads as strings."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

__all__ = ['read_numbers']


def read_numbers(opt: MutableMapping[str, Any]) -> None:
    """Convert strings that are numbers to numbers, in place.

    In the sections ``train``, ``val`` and ``logger``, and in BasicSR's counts of GPUs and samples; in the counts also
    3.0 to 3.

    P+M options.py: PyYAML follows YAML 1.1, where ``2e-4`` is a string, and ``--force_yml`` reads neither exponents
    nor signs.
    Symptom: ``'<=' not supported between instances of 'float' and 'str'`` from the optimiser.
    """
    for section in ('train', 'val', 'logger'):
        if section in opt:
            opt[section] = _with_numbers(opt[section])
    for dataset in opt.get('datasets', {}).values():
        if 'dataset_enlarge_ratio' in dataset:
            dataset['dataset_enlarge_ratio'] = _with_numbers(dataset['dataset_enlarge_ratio'])
        _read_counts(dataset, 'batch_size_per_gpu', 'num_worker_per_gpu', 'num_prefetch_queue', 'dataset_enlarge_ratio')
    _read_counts(opt, 'num_gpu')


def _read_counts(section: MutableMapping[str, Any], *keys: str) -> None:
    """Convert counts that are written as 3.0 or as strings to integers."""
    for key in keys:
        value = _with_numbers(section.get(key))
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            section[key] = value if isinstance(value, bool) else int(value)


def _with_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            value[key] = _with_numbers(value[key])
    elif isinstance(value, list):
        return [_with_numbers(item) for item in value]
    elif isinstance(value, str) and re.fullmatch(r'[-+]?\d+', value):
        return int(value)
    elif isinstance(value, str) and re.fullmatch(r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?', value):
        return float(value)
    return value
