"""Files that hold their old or their new content, whole, whatever happens meanwhile."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ['atomic_file']


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Give a file to write to that takes the place of ``path`` once it is complete and on disk.

    When the block raises, Ctrl-C included, the file aside is removed and what stood at ``path`` stays; a process that
    is killed leaves at most a hidden ``.part`` file.

    Args:
        path: The file to create or replace; its folder exists.

    Yields:
        A binary file, open for writing, beside ``path``.
    """
    path = Path(path)
    aside = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    try:
        with aside.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
