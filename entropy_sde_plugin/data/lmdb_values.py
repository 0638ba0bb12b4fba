"""Values by their keys in LMDB: what databases of images and of raw planes have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import lmdb

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.atomic_file import not_written
from entropy_sde_plugin.utils.atomic_folder import atomic_folder
from entropy_sde_plugin.utils.paths import regular

__all__ = ['ValueWriter', 'new_values', 'open_environment', 'reading', 'stored_keys']

_FIRST_MAP_SIZE = 64 << 20

# --- environments -----------------------------------------------------------------------------------------------------


class _Opened(NamedTuple):
    """An environment, the device and number of the file that it maps, and how many bytes of it hold pages."""

    environment: lmdb.Environment
    file: tuple[int, int]
    size: int


_environments: dict[str, _Opened] = {}
_guard = threading.Lock()


def open_environment(path: str | Path) -> lmdb.Environment:
    """Return this process's one environment of a database, opened for reading without locks.

    py-lmdb cannot open an environment twice in a process, so all readers use this function: ours and, through the
    compatibility patch, BasicSR's ``LmdbBackend``. Call it for every access instead of keeping the environment: a
    forked child closes what it inherits, and a database that was replaced on disk is reopened.

    Args:
        path: Folder of the database.

    Raises:
        InputError: The database does not exist, or is damaged or truncated, perhaps after it was opened.
    """
    real = os.path.realpath(path)
    data = Path(real, 'data.mdb')
    try:
        status = regular(data).stat()
    except OSError as error:
        fault = f'it has no readable data.mdb ({error.strerror})'
        raise InputError(f"'{path}' is not an LMDB database: {fault}.") from None
    file = (status.st_dev, status.st_ino)
    with _guard:
        known = _environments.get(real)
        if known is not None and known.file != file:
            _environments.pop(real).environment.close()
            known = None
        if known is None:
            try:
                environment = lmdb.open(os.fsencode(real), readonly=True, lock=False, readahead=False, create=False)
            except lmdb.Error as error:
                raise InputError(
                    f"'{path}' cannot be opened as an LMDB database ({error}); copy or write it again."
                ) from None
            size = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
            known = _environments[real] = _Opened(environment, file, size)
    # Reading a page after the end of a truncated file would kill the process with SIGBUS.
    if status.st_size < known.size:
        raise InputError(f"'{path}': data.mdb is truncated; copy or write the database again.")
    return known.environment


def _forget_environments() -> None:
    """Close the environments in a forked child: LMDB forbids using them across a fork."""
    global _guard
    _guard = threading.Lock()  # another thread may have held it when the process forked
    for opened in _environments.values():
        opened.environment.close()
    _environments.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget_environments)

# --- reading ----------------------------------------------------------------------------------------------------------


@contextmanager
def reading(path: str | Path) -> Iterator[lmdb.Transaction]:
    """A transaction whose values are views of the file, valid within the block; it reveals damage inside the data.

    Raises:
        InputError: The database does not exist or is damaged.
    """
    try:
        with open_environment(path).begin(buffers=True) as transaction:
            yield transaction
    except lmdb.Error as error:
        raise InputError(f"'{path}': data.mdb is damaged ({error}); write the database again.") from None


def stored_keys(path: str | Path) -> set[bytes]:
    """Return all keys of a database."""
    with reading(path) as transaction, transaction.cursor() as cursor:
        return {bytes(key) for key in cursor.iternext(values=False)}


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def new_values(path: str | Path, *, overwrite: bool = False) -> Iterator[ValueWriter]:
    """Write a database that appears complete at ``path`` when the block ends, or not at all when it raises.

    Args:
        path: Folder of the database; must end in ``.lmdb``, by which BasicSR recognises it.
        overwrite: Replace an existing database.

    Raises:
        InputError: Wrong suffix, ``path`` exists, or cannot be written.
    """
    if not str(path).endswith('.lmdb'):
        raise InputError(f"'{path}': the name of a database must end in .lmdb.")
    with atomic_folder(path, overwrite=overwrite) as folder:
        writer = ValueWriter(folder, str(path))
        try:
            yield writer
        finally:
            writer.close()


class ValueWriter:
    """Puts values into a new database; made by ``new_values``.

    Args:
        folder: Its folder, which nothing else uses yet.
        name: What it will be called, for messages.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._map_size = _FIRST_MAP_SIZE
        # Nothing else uses the folder yet: no locks, and one sync at the end.
        try:
            self._environment = lmdb.open(os.fsencode(folder), map_size=self._map_size, lock=False, sync=False)
        except lmdb.Error as error:  # a full disk
            raise self._not_written(error) from None

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value; the map grows as needed.

        Raises:
            InputError: The disk is full.
        """
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._map_size *= 2
                self._environment.set_mapsize(self._map_size)
            except lmdb.Error as error:  # a full disk
                raise self._not_written(error) from None

    def finish(self, meta_name: str, text: str) -> None:
        """Sync everything to disk, and write the file that describes the values.

        Raises:
            InputError: A full disk.
        """
        try:
            self._environment.sync(True)
            Path(self._folder, meta_name).write_bytes(text.encode())
        except (lmdb.Error, OSError) as error:
            raise self._not_written(error) from None

    def close(self) -> None:
        """Close the database."""
        self._environment.close()

    def _not_written(self, error: Exception) -> InputError:
        reason = str(error).rpartition(': ')[2]  # LMDB puts the temporary folder before it
        return InputError(not_written(self.name, reason))
