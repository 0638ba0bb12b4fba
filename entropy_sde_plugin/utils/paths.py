"""What is unusual about a path."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ['is_utf8', 'not_a_file', 'opens_as_utf8', 'read_text', 'regular']


def regular(path: Path) -> Path:
    """Return a path that is a regular file. Whoever opens a file to read asks this first: a pipe would be waited for.

    Links are followed.

    Raises:
        OSError: It is none; ``strerror`` says why, as part of a sentence. ``FileNotFoundError`` where nothing is there.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        fault = 'it is a link to a missing file' if path.is_symlink() else 'there is no such file or folder'
        raise FileNotFoundError(error.errno, fault, str(path)) from None
    except ValueError:
        raise OSError(errno.EINVAL, 'its name has a zero byte', str(path)) from None
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
        fault = 'it is a link to itself' if is_loop else f'it cannot be accessed ({error.strerror})'
        raise OSError(error.errno, fault, str(path)) from None
    if stat.S_ISREG(mode):
        return path
    kinds = {stat.S_ISDIR: 'a folder', stat.S_ISFIFO: 'a pipe', stat.S_ISSOCK: 'a socket'}
    kind = next((name for is_kind, name in kinds.items() if is_kind(mode)), 'a device')
    raise OSError(errno.EINVAL, f'it is {kind}, not a file', str(path))


def not_a_file(path: Path) -> str | None:
    """Return why a path is not a regular file, as part of a sentence; None if it is one (:func:`regular`)."""
    try:
        regular(path)
    except OSError as error:
        return error.strerror
    return None


def read_text(path: Path) -> str:
    """Return the text of a regular file in UTF-8; a byte order mark, with which Windows programs save, is left out.

    Raises:
        OSError: There is none (:func:`regular`), or it cannot be read; ``strerror`` says why, as part of a sentence.
    """
    try:
        return regular(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, 'it is not UTF-8 text', str(path)) from None


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
