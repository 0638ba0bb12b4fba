"""The section ``train`` of a training that is resumed: what the options change, and what they cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from basicsr.utils import get_root_logger

from entropy_sde_plugin.errors import InputError

__all__ = ['compare', 'settings']

_FROM_THE_STATE = ('optim_', 'scheduler.')
_SAME_TYPES = {'MultiStepRestartLR': 'MultiStepLR'}  # BasicSR builds one scheduler for both names
_ANEW = 'For a training under others, start from the weights (path.pretrain_network_g).'


def settings(train_opt: Mapping[str, Any]) -> dict[str, Any]:
    """The section ``train`` as plain values by dotted keys.

    Ask before the model is built: BasicSR takes the types out of its options.
    """
    return dict(_flat(train_opt, ''))


def compare(saved: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    """Tell which of the ``settings`` differ: those that change the training from here on, and those that do not.

    Optimisers and schedule come from the state, whatever the options say by then.

    Args:
        saved: The settings that the training went by.
        present: Those of the options.

    Returns:
        Those that it continues with.

    Raises:
        InputError: An optimiser or the schedule is of another type: what the state holds would not fit it.
    """
    went_by = {key: value for key, value in saved.items() if key.startswith(_FROM_THE_STATE)}
    goes_on_by = {key: value for key, value in present.items() if not key.startswith(_FROM_THE_STATE)}
    without_effect, with_effect = [], []
    for key in sorted(saved.keys() | present.keys()):
        was, now = (each.get(key, 'not given') for each in (saved, present))
        if was == now:
            continue
        difference = f'train.{key} was {was} and is {now}'
        if not key.startswith(_FROM_THE_STATE):
            with_effect.append(difference)
        elif not key.endswith('.type'):
            without_effect.append(difference)
        elif _SAME_TYPES.get(was, was) != _SAME_TYPES.get(now, now):
            raise InputError(f'train.{key} is {now}, but the training to resume has {was}: write that. {_ANEW}')
    if without_effect:
        get_root_logger().warning(
            f'The options differ from the training to resume ({"; ".join(without_effect)}), which has no effect: the '
            f"optimiser and its schedule are the state's. {_ANEW}"
        )
    if with_effect:
        get_root_logger().warning(
            f'The options differ from the training to resume, from here on: {"; ".join(with_effect)}.'
        )
    return went_by | goes_on_by


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
