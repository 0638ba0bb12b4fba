"""Why a path is not a regular file."""

from __future__ import annotations

import errno
import re
import stat
from pathlib import Path

__all__ = ['not_a_file', 'utf8_name']


def not_a_file(path: Path) -> str | None:
    """Return why a path is not a regular file, as part of a sentence; None if it is one. Links are followed."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 'it is a link to a missing file' if path.is_symlink() else 'there is no such file or folder'
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
        return 'it is a link to itself' if is_loop else f'it cannot be accessed ({error.strerror})'
    kinds = {stat.S_ISDIR: 'a folder', stat.S_ISFIFO: 'a pipe', stat.S_ISSOCK: 'a socket'}
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), 'a device')
    return None if stat.S_ISREG(mode) else f'it is {kind}, not a file'


def utf8_name(name: str) -> str:
    r"""Return a file name as text that every file and terminal takes: bytes that are not UTF-8 as ``%`` and two digits.

    Example:
        >>> import os
        >>> utf8_name(os.fsdecode(b'caf\xe9.png'))
        'caf%E9.png'
    """
    return re.sub(r'[\udc80-\udcff]', lambda match: f'%{ord(match[0]) - 0xDC00:02X}', name)  # PEP 383
