"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ['options_folder', 'packaged_model']

_PACKAGE = Path(__file__).parents[1]


def options_folder() -> Path:
    """Return the folder of the option files: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / 'options_files'
    return installed if installed.is_dir() else _PACKAGE.parent / 'options'


def packaged_model() -> Path:
    """Return the file of the packaged weights; MODEL_CARD.md beside it describes them."""
    return _PACKAGE / 'pretrained' / 'lowlight_small.safetensors'
