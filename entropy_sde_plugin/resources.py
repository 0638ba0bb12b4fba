"""Files that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ['options_folder', 'packaged_model']


def options_folder() -> Path:
    """Return the folder of the option files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / 'options_files'
    return installed if installed.is_dir() else package.parent / 'options'


def packaged_model() -> Path:
    """Return the weights that come with the package; MODEL_CARD.md beside them says what they are."""
    return Path(__file__).parent / 'pretrained' / 'lowlight_small.safetensors'
