"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ['options_folder']


def options_folder() -> Path:
    """Return the folder of the option files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / 'options_files'
    return installed if installed.is_dir() else package.parent / 'options'
