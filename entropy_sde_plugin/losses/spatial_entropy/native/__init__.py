"""The native engine's C++ sources, and the library that setup.py builds from them.

setup.py runs this file by its path, so it must not import the package.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ['FOLDER', 'digest', 'sources']

FOLDER = Path(__file__).parent


def sources() -> list[Path]:
    """Return all files that go into the library; the one to compile comes first."""
    return [FOLDER / 'spatial_entropy.cpp', *sorted(FOLDER.glob('*.h'))]


def digest() -> str:
    """Return a digest of the sources. It is compiled into the library, so that an outdated library is detected."""
    found = hashlib.sha256()
    for source in sources():
        found.update(source.name.encode() + b'\0' + source.read_bytes() + b'\0')
    return found.hexdigest()[:16]
