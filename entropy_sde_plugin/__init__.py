"""Entropy-SDE low-light image enhancement as a plugin of BasicSR.

Importing this package imports neither torch nor BasicSR. It leaves a hook that puts the plugin in place when BasicSR is
imported; the start-up file ``entropy_sde_plugin.pth`` imports it at every start of Python, which is how BasicSR's own
commands find the plugin.
"""

from __future__ import annotations

from entropy_sde_plugin import _bootstrap

__all__ = ['__version__', 'register']

__version__ = '0.1.0'

_state = 'absent'


def register() -> None:
    """Put the plugin in place in this process: import BasicSR, patch it, register what this package adds.

    Needed only where BasicSR was imported before this package, or to have the plugin in place at a known moment.
    Idempotent.

    Raises:
        InputError: BasicSR is not installed.
    """
    global _state
    if _state != 'absent':
        return
    _state = 'on its way'
    try:
        from entropy_sde_plugin import compat

        compat.import_basicsr()
        compat.apply()

        from entropy_sde_plugin.registrations import register_all

        register_all()
    except BaseException:
        _state = 'absent'
        raise
    _state = 'in place'


_bootstrap.install()
