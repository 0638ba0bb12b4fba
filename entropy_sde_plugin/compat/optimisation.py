"""Optimisers and schedule of a training that is resumed: they come from the state, whatever the options say by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from basicsr.utils import get_root_logger

from entropy_sde_plugin.errors import InputError

__all__ = ['compare', 'settings']

_SAME_TYPES = {'MultiStepRestartLR': 'MultiStepLR'}  # BasicSR builds one scheduler for both names
_ANEW = 'For a training under others, start from the weights (path.pretrain_network_g).'


def settings(train_opt: Mapping[str, Any]) -> dict[str, Any]:
    """What the section ``train`` says of optimisers and schedule, as plain values by dotted keys.

    Ask before the model is built: BasicSR takes the types out of its options.
    """
    sections = {key: train_opt[key] for key in sorted(train_opt) if key.startswith('optim_') or key == 'scheduler'}
    flat = {f'{section}.{key}': value for section, options in sections.items() for key, value in options.items()}
    return {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in flat.items()}


def compare(saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    """Tell in one warning which of the ``settings`` have no effect on the training that is resumed.

    Args:
        saved: Those that it began with.
        present: Those of the options.

    Raises:
        InputError: A type is another one: what the state holds would not fit it.
    """
    differences = []
    for key in sorted(saved.keys() | present.keys()):
        was, now = (each.get(key, 'not given') for each in (saved, present))
        if was == now:
            continue
        if key.endswith('.type'):
            if _SAME_TYPES.get(was, was) == _SAME_TYPES.get(now, now):
                continue
            raise InputError(f'train.{key} is {now}, but the training to resume has {was}: write that. {_ANEW}')
        differences.append(f'train.{key} was {was} and is {now}')
    if differences:
        get_root_logger().warning(
            f'The options differ from the training to resume ({"; ".join(differences)}), which has no effect: the '
            f"optimiser and its schedule are the state's. {_ANEW}"
        )
