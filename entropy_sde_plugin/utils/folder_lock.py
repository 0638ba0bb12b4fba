"""One run in a folder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.distributed import warn

__all__ = ['lock_folder']

_held: dict[Path, int] = {}
"""The lock files that this process has locked, and their descriptors."""


def lock_folder(folder: Path) -> None:
    """Keep the runs of other processes out of a folder until this process ends, in whatever way it does.

    The lock is the operating system's, on a file beside the folder: a run may rename the folder or make it anew. The
    file stays, the lock does not. Where the file system cannot lock, a warning is printed.

    Args:
        folder: Need not exist.

    Raises:
        InputError: Another process has locked it.

    Example:
        >>> import tempfile
        >>> experiments = Path(tempfile.mkdtemp())
        >>> lock_folder(experiments / 'lolv1')
        >>> [path.name for path in experiments.iterdir()]
        ['.lolv1.lock']
    """
    real = Path(os.path.realpath(folder))  # which a link may name too; Path.resolve fails on a link to itself
    path = real.with_name(f'.{real.name}.lock')
    if path in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        _warn_of_no_lock(folder, error)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 200).decode(errors='replace')
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise InputError(
                f"'{folder}' is in use by another run ({holder}): wait until it ends, stop it, or choose another name."
            ) from None
        _warn_of_no_lock(folder, error)
        return
    _held[path] = descriptor
    with contextlib.suppress(OSError):  # a full disk; the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f'process {os.getpid()} on {socket.gethostname()}'.encode(), 0)


def _warn_of_no_lock(folder: Path, error: OSError) -> None:
    warn(f"'{folder}' cannot be locked ({error.strerror}): do not start a second run of this name while this one runs.")


def _close_in_child() -> None:
    """Close the descriptors in a forked child: a worker that outlives its parent would keep the lock."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
