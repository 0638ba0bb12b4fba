"""Entropy-SDE low-light image enhancement as a plugin of BasicSR.

Importing this package imports neither torch nor BasicSR. It installs an import hook that activates the plugin when
BasicSR is imported. The start-up file ``entropy_sde_plugin.pth`` imports the package at every start of Python, which is
how BasicSR's own commands find the plugin.
"""

from __future__ import annotations

from entropy_sde_plugin import _bootstrap

__all__ = ['__version__', 'register']

__version__ = '0.1.0'

_state = 'absent'


def register() -> None:
    """Activate the plugin in this process: import BasicSR, patch it, register the classes of this package.

    Needed only where BasicSR was imported before this package, or to activate the plugin at a known moment.
    Idempotent.

    Raises:
        InputError: BasicSR is not installed.
    """
    global _state
    if _state != 'absent':
        return
    _state = 'activating'
    try:
        from entropy_sde_plugin import compat

        compat.import_basicsr()
        compat.apply()

        from entropy_sde_plugin.registrations import register_all

        register_all()
    except BaseException:
        _state = 'absent'
        raise
    _state = 'active'


_bootstrap.install()
