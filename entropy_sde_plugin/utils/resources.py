"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ['options_folder', 'packaged_model']

_PACKAGE = Path(__file__).parents[1]


def options_folder() -> Path:
    """Return the folder of the option files: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / 'options_files'
    return installed if installed.is_dir() else _PACKAGE.parent / 'options'


def packaged_model() -> Path:
    """Return the weights that come with the package; MODEL_CARD.md beside them says what they are."""
    return _PACKAGE / 'pretrained' / 'lowlight_small.safetensors'
