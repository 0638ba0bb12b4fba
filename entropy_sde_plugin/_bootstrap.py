"""An import hook that waits for ``import basicsr`` and then activates the plugin.

It is installed at every start of Python, also in worker processes and in children of torchrun. It imports nothing but
the standard library, and does nothing in a process that never imports BasicSR. The environment variable
``ENTROPY_SDE_PLUGIN`` switches the hook off (``0``), or makes failures of the plugin errors instead of warnings
(``strict``).
"""

from __future__ import annotations

import os
import sys

__all__ = ['hook', 'install']

SWITCH = 'ENTROPY_SDE_PLUGIN'


def install() -> None:
    """Make the first ``import basicsr`` of this process activate the plugin. Idempotent."""
    if os.environ.get(SWITCH) != '0':
        hook()


def hook() -> None:
    """Install the import hook, even where the environment switches the plugin off."""
    if 'basicsr' not in sys.modules and not any(isinstance(finder, BasicSRFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, BasicSRFinder())


class BasicSRFinder:
    """A finder that lets the other finders look for BasicSR, and wraps the loader that they return."""

    def __init__(self) -> None:
        self._asking = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != 'basicsr' or self._asking:
            return None
        self._asking = True
        try:
            spec = self._ask_the_others(fullname, path, target)
        finally:
            self._asking = False
        if spec is not None and spec.origin is not None and hasattr(spec.loader, 'exec_module'):
            spec.loader = PluginLoader(spec.loader, self)
        return spec

    def _ask_the_others(self, fullname, path, target):
        # All of them, in order: the finder of an editable BasicSR comes after the one that reads sys.path.
        for finder in list(sys.meta_path):
            find_spec = None if finder is self else getattr(finder, 'find_spec', None)
            spec = None if find_spec is None else find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


class PluginLoader:
    """Loads BasicSR with its own loader, with stand-ins for missing modules, and then activates the plugin."""

    def __init__(self, loader, finder: BasicSRFinder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module) -> None:
        # Hide that there was a hook.
        module.__spec__.loader = module.__loader__ = self._loader
        remove_stand_ins = None
        with PluginErrorsAsWarnings():
            from entropy_sde_plugin.compat.stand_ins import install_stand_ins
            from entropy_sde_plugin.utils.waiting import wait_passively

            wait_passively()  # before BasicSR imports torch
            remove_stand_ins = install_stand_ins(module.__spec__)
        try:
            self._loader.exec_module(module)
        finally:
            if remove_stand_ins is not None:
                remove_stand_ins()
        with PluginErrorsAsWarnings():
            import entropy_sde_plugin

            entropy_sde_plugin.register()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)


class PluginErrorsAsWarnings:
    """Turn an exception into a warning, so that a broken plugin does not break BasicSR; not in strict mode."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, traceback) -> bool:
        if not isinstance(error, Exception) or os.environ.get(SWITCH) == 'strict':
            return False
        import warnings

        reason = f'{kind.__name__}: {error}'
        message = f'entropy_sde_plugin is not active ({reason}). {SWITCH}=strict shows where it fails.'
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return True
