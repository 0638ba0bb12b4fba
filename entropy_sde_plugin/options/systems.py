"""The systems that checkpoints can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entropy_sde_plugin.errors import InputError, quoted, suggestion
from entropy_sde_plugin.options.diffusion import IRSDEOptions, LLDiffusionOptions
from entropy_sde_plugin.options.exposure import ExposureOptions
from entropy_sde_plugin.options.system import SystemOptions

__all__ = ['SYSTEMS', 'system_of']

SYSTEMS: dict[str, type[SystemOptions]] = {
    options.system: options for options in (IRSDEOptions, LLDiffusionOptions, ExposureOptions)
}
"""Options of each system, by the name that checkpoints carry."""


def system_of(settings: Mapping[str, Any] | None, default: str = IRSDEOptions.system) -> type[SystemOptions]:
    """Return the options of the system that weights were trained under.

    Args:
        settings: What the weights' file carries, if anything.
        default: The system of files that do not name one, since they were written when there was only one.

    Raises:
        InputError: The file names an unknown system.
    """
    name = (settings or {}).get('system', default)
    if name not in SYSTEMS:
        raise InputError(f'trained under the unknown system {quoted(name)}. {suggestion(str(name), SYSTEMS)}')
    return SYSTEMS[name]
