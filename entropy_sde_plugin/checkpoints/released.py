"""Layouts of checkpoints that other projects released, read as state dicts of our networks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from entropy_sde_plugin.errors import InputError

__all__ = ['released_state', 'with_current_names', 'without_wrappers']

_WRAPPERS = re.compile(r'^(?:module\.|_orig_mod\.)+')

_LEVELS = 6
"""Levels of LLDiffusion's U-Nets."""

_BUFFERS = ('.weight_u', '.weight_v')
"""How the names of the spectral norms' vectors end."""


def without_wrappers(key: object) -> str:
    """Return the name of a weight without the prefixes of DataParallel (``module.``) and ``torch.compile``
    (``_orig_mod.``).

    Example:
        >>> without_wrappers('module._orig_mod.intro.weight')
        'intro.weight'
    """
    return _WRAPPERS.sub('', str(key))


def released_state(content: Mapping[str, Any], param_key: str | None) -> tuple[Mapping[str, Any], str] | None:
    """Return the weights of a released checkpoint, and the entry that they come from; None for other files.

    ExposureDiffusion's checkpoints hold the weights as ``netG``. LLDiffusion's hold them as ``state_dict``, and the
    moving average of the parameters as ``ema_helper``, whose keys have no prefix. The buffers, which belong to the
    spectral norms, are only in ``state_dict``.

    Args:
        content: What the file holds.
        param_key: BasicSR's name of the wanted entry: ``params_ema`` is the average, any other the weights.

    Raises:
        InputError: The average lacks a parameter.
    """
    if isinstance(network := content.get('netG'), Mapping):
        return network, 'netG'
    state, average = (content.get(entry) for entry in ('state_dict', 'ema_helper'))
    if not isinstance(state, Mapping) or not isinstance(average, Mapping) or not average:
        return None
    if param_key != 'params_ema':
        return state, 'state_dict'
    current, averaged = ({without_wrappers(key): value for key, value in each.items()} for each in (state, average))
    for key in current.keys() - averaged.keys():
        if not key.endswith(_BUFFERS):
            raise InputError(
                f"its moving average ('ema_helper') lacks '{key}': use another checkpoint, or for a test the current "
                'weights (path.param_key_g: params).'
            )
    return current | averaged, 'ema_helper'


def with_current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of LLDiffusion under the names of its last release, others as they are.

    Earlier files number the levels on the way up from the finest one, the only one without an ``upsample``.
    """
    renamed = dict(state)
    for unet in ('deg_unet', 'diff_unet'):
        finest, coarsest = (f'{unet}.up.{level}.upsample.conv.weight' for level in (0, _LEVELS - 1))
        if coarsest in state and finest not in state:
            renamed = {_counted_from_the_coarsest(key, unet): value for key, value in renamed.items()}
    return renamed


def _counted_from_the_coarsest(key: str, unet: str) -> str:
    match = re.match(rf'({unet}\.up\.)(\d)(\..*)', key)
    return f'{match[1]}{_LEVELS - 1 - int(match[2])}{match[3]}' if match else key
