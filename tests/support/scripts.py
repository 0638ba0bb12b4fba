"""The programs in scripts/ as modules."""

import importlib
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / 'scripts'


def script_path(name):
    """Return the file of a program."""
    (path,) = SCRIPTS.glob(f'*/{name}.py')
    return path


def script(name):
    """Import a program, and what it imports from its folder."""
    path = script_path(name)
    sys.path.insert(0, str(path.parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(path.parent))
