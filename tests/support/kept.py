"""Folders that tests fill once and keep."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ['kept_folder']


def kept_folder(config: pytest.Config, factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder of pytest's cache; under ``-p no:cacheprovider`` there is none, and it is one of this session."""
    cache = getattr(config, 'cache', None)
    return factory.mktemp(name) if cache is None else cache.mkdir(name)
