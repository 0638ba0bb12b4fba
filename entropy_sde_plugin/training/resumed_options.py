"""The section ``train`` of a resumed training: which changed options take effect, and which do not."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import msgspec
from basicsr.utils import get_root_logger

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.arguments import registry_of
from entropy_sde_plugin.options.optimisation import SCHEDULES, optimisers
from entropy_sde_plugin.options.training import LOSSES, TrainOptions

__all__ = ['compare', 'settings']

_FROM_THE_STATE = ('optim_', 'scheduler.')
_SAME_TYPES = {'MultiStepRestartLR': 'MultiStepLR'}  # BasicSR builds one scheduler for both names
_ABSENT = 'not given'
_ANEW = 'To train under other ones, start from the weights (path.pretrain_network_g).'


def settings(train_opt: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section ``train`` as plain values by dotted keys.

    Call it before the model is built: BasicSR removes the types from its options.
    """
    return dict(_flat(train_opt, ''))


def compare(
    saved: Mapping[str, Any], present: Mapping[str, Any], struct: type[TrainOptions] | None = None
) -> dict[str, Any]:
    """Warn of ``settings`` that differ: those that change the training from here on, and those without effect.

    The optimiser and its schedule come from the state, whatever the options say. An option that is not given has its
    default.

    Args:
        saved: The settings that the training was run with.
        present: Those of the options.
        struct: Declares the options of the model's section ``train``; None for models that are not ours.

    Returns:
        The settings that the training continues with.

    Raises:
        InputError: The optimiser or the scheduler has another type: the state does not fit it.
    """
    without_effect, with_effect = [], []
    for key in sorted(saved.keys() | present.keys()):
        was, now = (each[key] if key in each else _default(key, each, struct) for each in (saved, present))
        if was == now:
            continue
        difference = f'train.{key} was {was} and is {now}'
        if not key.startswith(_FROM_THE_STATE):
            with_effect.append(difference)
        elif not key.endswith('.type'):
            without_effect.append(difference)
        elif _SAME_TYPES.get(was, was) != _SAME_TYPES.get(now, now):
            raise InputError(f'train.{key} is {now}, but the training to resume has {was}: set it to {was}. {_ANEW}')
    if without_effect:
        get_root_logger().warning(
            f'These options differ from the training to resume, without effect: {"; ".join(without_effect)}. The '
            f'optimiser and its schedule are restored from the state. {_ANEW}'
        )
    if with_effect:
        get_root_logger().warning(
            f'These options differ from the training to resume, and apply from here on: {"; ".join(with_effect)}.'
        )
    from_state = {key: value for key, value in saved.items() if key.startswith(_FROM_THE_STATE)}
    from_options = {key: value for key, value in present.items() if not key.startswith(_FROM_THE_STATE)}
    return from_state | from_options


def _flat(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _default(key: str, given: Mapping[str, Any], struct: type[TrainOptions] | None) -> Any:
    """Return the default of an option of ``train``; in a section, the struct or the section's ``type`` says whose."""
    section, _, name = key.rpartition('.')
    declared = get_type_hints(struct).get(section) if struct else None
    if section == '':
        kind = struct
    elif inspect.isclass(declared) and issubclass(declared, msgspec.Struct):
        kind = declared
    else:
        kind = _class_of(section, given.get(f'{section}.type'))
    if kind is None:
        return _ABSENT
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        defaults = {field.name: field.default for field in msgspec.structs.fields(kind) if not field.required}
    else:
        parameters = inspect.signature(kind).parameters.values()
        defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    return _plain(defaults.get(name, _ABSENT))


def _class_of(section: str, name: str | None) -> Any:
    """Return what a section's ``type`` names: an optimiser, the options of a scheduler, or a loss; None if unknown."""
    if section.startswith('optim_'):
        return optimisers().get(name or '')
    if section == 'scheduler':
        return SCHEDULES.get(name or '')
    losses = registry_of('loss')
    return losses.get(name) if section in LOSSES and name in losses else None
