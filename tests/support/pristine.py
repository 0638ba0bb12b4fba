"""BasicSR's modules as they come, beside the patched ones."""

import importlib.util
from types import ModuleType


def pristine(name: str) -> ModuleType:
    """Execute a module of BasicSR once more, under another name and without the plugin's mends."""
    spec = importlib.util.find_spec(f'basicsr.{name}')
    again = importlib.util.spec_from_file_location(f'pristine.{name}', spec.origin)
    module = importlib.util.module_from_spec(again)
    module.__package__ = spec.parent
    again.loader.exec_module(module)
    return module
