"""What is unusual about a path."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ['is_utf8', 'not_a_file', 'opens_as_utf8']


def not_a_file(path: Path) -> str | None:
    """Return why a path is not a regular file, as part of a sentence; None if it is one. Links are followed."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return 'it is a link to a missing file' if path.is_symlink() else 'there is no such file or folder'
    except ValueError:
        return 'its name has a zero byte'
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
        return 'it is a link to itself' if is_loop else f'it cannot be accessed ({error.strerror})'
    kinds = {stat.S_ISDIR: 'a folder', stat.S_ISFIFO: 'a pipe', stat.S_ISSOCK: 'a socket'}
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), 'a device')
    return None if stat.S_ISREG(mode) else f'it is {kind}, not a file'


def is_utf8(path: str | Path) -> bool:
    r"""Return whether the characters of a path can be written as UTF-8.

    Example:
        >>> import os
        >>> is_utf8('夜.png'), is_utf8(os.fsdecode(b'caf\xe9.png'))
        (True, False)
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def opens_as_utf8(path: str | Path) -> bool:
    """Return whether libraries in C++ and Rust, which take a path as UTF-8, open the file that Python does.

    They do not where the name is not UTF-8, or the locale has another encoding, such as GBK.
    """
    try:
        return str(path).encode() == os.fsencode(path)
    except UnicodeEncodeError:
        return False
