"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ['PACKAGED_MODELS', 'options_folder', 'packaged_model']

_PACKAGE = Path(__file__).parents[1]

PACKAGED_MODELS = ('lowlight', 'exposure')
"""Names of the models that come with the package."""


def options_folder() -> Path:
    """Return the folder of the option files: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / 'options_files'
    return installed if installed.is_dir() else _PACKAGE.parent / 'options'


def packaged_model(name: str = 'lowlight') -> Path:
    """Return the file of packaged weights; MODEL_CARD.md beside it describes them.

    Args:
        name: One of :data:`PACKAGED_MODELS`: ``lowlight`` restores RGB images, ``exposure`` raw ones.
    """
    return _PACKAGE / 'pretrained' / f'{name}_small.safetensors'
