"""Files that are replaced completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from entropy_sde_plugin.errors import InputError

__all__ = [
    'LONGEST_NAME',
    'WriteError',
    'atomic_file',
    'check_output_folder',
    'existing_folder',
    'not_written',
    'output_path',
    'write_file',
]


LONGEST_NAME = 240
"""Maximum length of a file's name in bytes. File systems allow 255; `atomic_file` lengthens it while it writes."""


class WriteError(InputError, OSError):
    """A file could not be written, e.g. because the disk is full, the folder was removed or permission is missing."""


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` once it is complete and on disk.

    When the block raises, also on Ctrl-C, the temporary file is removed and the old file is kept. A process that is
    killed leaves at most a hidden ``.part`` file.

    Args:
        path: The file to create or replace; its folder exists.

    Yields:
        A binary file, open for writing, in the same folder as ``path``.

    Raises:
        OSError: It could not be written; ``filename`` is ``path``, and the old file is kept.
    """
    path = Path(path)
    aside = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    try:
        with aside.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(aside)):
            raise
        # A failed write names no file, and the other steps name the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # the block's error counts; a read-only disk refuses this one too
            aside.unlink(missing_ok=True)


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file of a run, completely or not at all. A missing folder is created.

    Args:
        path: The file to create or replace.
        content: Its content.

    Raises:
        WriteError: It could not be written; the message names ``path``, and the old file is kept.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(content)
    except OSError as error:
        raise WriteError(not_written(path, error.strerror)) from error


def not_written(name: str | Path, reason: str | None) -> str:
    """Return the message of a file or folder that could not be written, with the reason, as part of a sentence."""
    return f"'{name}' could not be written: {reason}. Free some space or check the permissions."


def output_path(path: str | Path, suffix: str) -> Path:
    """Check an output path before the work, so that writing does not fail after it.

    Args:
        path: The file to create or replace.
        suffix: What its name must end in, e.g. ``'.onnx'``.

    Raises:
        InputError: Another ending, a missing folder or one that takes no files, or a folder of that name.
    """
    path = Path(path)
    if path.suffix != suffix:
        raise InputError(f"'{path}': the name of the file to write must end in {suffix}.")
    if path.is_dir():
        raise InputError(f"'{path}' is a folder: name a file.")
    if not path.parent.is_dir():
        raise InputError(f"'{path}': there is no folder '{path.parent}'; create it first.")
    check_output_folder(path.parent)
    return path


def existing_folder(folder: Path) -> Path:
    """Return what exists of a folder's path: itself, or the folder in which it could be made.

    Raises:
        InputError: A file or a link to nothing is in its place.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise InputError(f"'{there}' is not a folder; choose another output folder.")
    return there


def check_output_folder(folder: Path) -> None:
    """Check, before the work, that files can be written to a folder, or that it can be made; it is not made here.

    Raises:
        InputError: They cannot: a file or a link to nothing is in its place, or no permission or a read-only disk.
    """
    there = existing_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(
            f"'{there}': no file can be written there ({error.strerror}); choose another folder."
        ) from None
