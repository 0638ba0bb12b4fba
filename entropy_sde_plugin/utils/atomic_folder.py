"""Folders that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entropy_sde_plugin.errors import InputError

__all__ = ['atomic_folder']

_DATABASE_FILES = {'data.mdb', 'lock.mdb', 'meta_info.txt', 'meta_info.json'}


@contextmanager
def atomic_folder(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Create a temporary folder that replaces ``target`` once its contents are complete and on disk.

    When the block raises, also on Ctrl-C, the temporary folder is removed and the old one is kept.

    Args:
        target: The folder to create.
        overwrite: Replace an existing folder if it holds nothing but LMDB databases.

    Yields:
        The temporary folder, in the same folder as ``target``.

    Raises:
        InputError: ``target`` exists and may not be replaced, or cannot be written.
    """
    target = Path(os.path.realpath(target))
    if target.exists():
        _check_replaceable(target, overwrite)
    part = target.with_name(f'.{target.name}.{secrets.token_hex(4)}.part')
    with _writing(target):
        part.mkdir(parents=True)
    try:
        yield part
        with _writing(target):
            _sync_tree(part)
        _put_in_place(part, target, overwrite)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Report a failure of the block in one line that names the folder."""
    try:
        yield
    except OSError as error:
        raise InputError(f"'{target}' cannot be written ({error.strerror}).") from None


def _check_replaceable(target: Path, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(
            f"'{target}' exists already: remove it, or overwrite it (--overwrite; in Python overwrite=True)."
        )
    strangers = [
        path for path in target.rglob('*') if path.name not in _DATABASE_FILES and not path.name.endswith('.lmdb')
    ]
    if strangers or not target.is_dir():
        raise InputError(
            f"'{target}' holds more than databases ({(strangers or [target])[0].name}) and is not overwritten."
        )


def _put_in_place(part: Path, target: Path, overwrite: bool) -> None:
    old = part.with_suffix('.old')
    if overwrite and target.exists():
        target.rename(old)
    try:
        part.rename(target)
    except OSError as error:
        if old.exists():
            old.rename(target)
        raise InputError(f"'{target}' could not be created ({error.strerror}).") from None
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob('*'):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == 'nt':  # Windows has no fsync for folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
