"""Image databases in LMDB, in BasicSR's format: a writer and a reader.

A database is a folder ``<name>.lmdb`` with ``data.mdb`` and ``meta_info.txt``; a line of the latter reads
``key.png (h,w,c) compress_level``. Values are PNG files, 8-bit RGB. BasicSR uses the part of a line before the first
dot as the key and encodes it in ASCII, hence the rules for keys here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.lmdb_values import ValueWriter, new_values, reading, stored_keys
from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.utils.paths import read_text
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['LmdbReader', 'LmdbWriter', 'check_keys', 'lmdb_writer']

MAX_KEY_BYTES = 511  # LMDB's limit
_META_LINE = re.compile(r'(?P<key>[^.]+)\.\S* \((?P<height>\d{1,9}),(?P<width>\d{1,9}),\d\) \d')

# --- keys -------------------------------------------------------------------------------------------------------------


def check_keys(keys: Iterable[str], where: str) -> None:
    """Check that every key can be used in a database that BasicSR reads, and only once.

    Args:
        keys: The keys; they are the file names without suffix.
        where: The database or folder, for messages.

    Raises:
        InputError: One line per offending key.
    """
    problems = Problems()
    for key, count in Counter(keys).items():
        fault = _fault(key) or ('occurs more than once' if count > 1 else None)
        if fault:
            problems.add(f'{where}: key {key!r} {fault}; rename the image.')
    problems.raise_any()


def _fault(key: str) -> str | None:
    if not key:
        return 'is empty'
    if not key.isascii():
        return 'has characters outside ASCII'
    if not key.isprintable() or ' ' in key:
        return 'has white space or control characters'
    if '.' in key:
        return 'has a dot, at which BasicSR cuts a key off'
    if len(key) > MAX_KEY_BYTES:
        return f'is longer than {MAX_KEY_BYTES} bytes'
    return None


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def lmdb_writer(path: str | Path, *, compress_level: int = 1, overwrite: bool = False) -> Iterator[LmdbWriter]:
    """Write a database that appears complete at ``path`` when the block ends, or not at all when it raises.

    The same images in the same order give the same bytes.

    Args:
        path: Folder of the database; must end in ``.lmdb``, by which BasicSR recognises it.
        compress_level: PNG compression, 0…9; 1 decodes fast.
        overwrite: Replace an existing database.

    Yields:
        A writer; see ``LmdbWriter.put``.

    Raises:
        InputError: Wrong suffix or ``compress_level``, ``path`` exists, a bad or repeated key, an image that is not
            8-bit RGB, no image at all, or a full disk.
    """
    if not 0 <= compress_level <= 9:
        raise InputError(f"'{path}': compress_level must lie in 0…9, but is {compress_level}.")
    with new_values(path, overwrite=overwrite) as values:
        writer = LmdbWriter(values, compress_level)
        yield writer
        writer.finish()


class LmdbWriter:
    """Puts images into one new database; made by ``lmdb_writer``.

    Example:
        >>> with lmdb_writer('datasets/black.lmdb', overwrite=True) as writer:
        ...     writer.put('black', np.zeros((4, 6, 3), np.uint8))
    """

    def __init__(self, values: ValueWriter, compress_level: int) -> None:
        self._values = values
        self._name = values.name
        self._compress_level = compress_level
        self._lines: dict[str, str] = {}

    def put(self, key: str, image: images.RGBImage) -> None:
        """Store an image of shape (H, W, 3), uint8, RGB, under a new key."""
        check_keys([key], self._name)
        if key in self._lines:
            raise InputError(f"{self._name}: key '{key}' occurs more than once; rename the image.")
        # OpenCV would silently reduce other depths and drop a fourth channel.
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            given = f'{image.dtype} of shape {image.shape}'
            raise InputError(f"{self._name}: '{key}' is {given}; an image is uint8 of shape (H, W, 3).")
        self._values.put(key.encode('ascii'), images.encode_png(image, self._compress_level))
        height, width, channels = image.shape
        self._lines[key] = f'{key}.png ({height},{width},{channels}) {self._compress_level}\n'

    def finish(self) -> None:
        """Write ``meta_info.txt`` and sync everything to disk."""
        if not self._lines:
            raise InputError(f"'{self._name}' would be empty: there are no images to write.")
        self._values.finish('meta_info.txt', ''.join(self._lines[key] for key in sorted(self._lines)))


# --- reading ----------------------------------------------------------------------------------------------------------


class LmdbReader:
    """Images of one database, by key. It can be pickled and used in forked and spawned workers.

    Args:
        path: Folder of the database, ours or one that BasicSR's tools wrote.

    Raises:
        InputError: The database does not exist, is damaged, or does not match its ``meta_info.txt``.

    Example:
        With a database of one image, ``1``:

        >>> reader = LmdbReader('datasets/photographs.lmdb')
        >>> reader.names, reader.size('1'), reader.image('1').shape
        (('1',), (96, 128), (96, 128, 3))
    """

    option = ''
    """The option that named the database, for errors."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._sizes = self._read_meta()
        self.names = tuple(sorted(self._sizes))
        self._check_keys()

    def _read_meta(self) -> dict[str, tuple[int, int]]:
        meta = self.path / 'meta_info.txt'
        try:
            lines = read_text(meta).splitlines()
        except OSError as error:
            fault = f'it has no readable meta_info.txt ({error.strerror})'
            raise InputError(f"'{self.path}' is not an image database: {fault}.") from None
        sizes = {}
        for number, line in enumerate(lines, 1):
            match = _META_LINE.fullmatch(line.strip())
            if match is None:
                raise InputError(f"{meta}, line {number}: expected 'key.png (h,w,c) level', but it is {quoted(line)}.")
            if match['key'] in sizes:
                raise InputError(f"{meta}, line {number}: key '{match['key']}' occurs more than once.")
            sizes[match['key']] = int(match['height']), int(match['width'])
        return sizes

    def _check_keys(self) -> None:
        stored = stored_keys(self.path)
        if not stored:
            raise InputError(f"'{self.path}' holds no images; write the database again.")
        named = {name.encode() for name in self.names}
        if named == stored:
            return
        fault = f'meta_info.txt names {len(named)} images, but data.mdb holds {len(stored)}'
        if len(named) == len(stored):
            fault = f"meta_info.txt names '{min(named - stored).decode()}', which is not in data.mdb"
        raise InputError(f"'{self.path}': {fault}; write the database again.")

    def where(self, name: str) -> str:
        """Return database and key, for messages and as the path of a sample."""
        return f'{self.path}/{name}'

    def size(self, name: str) -> tuple[int, int]:
        """Return (height, width)."""
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        """Return the stored bytes of one image.

        Raises:
            InputError: The database has no such key.
        """
        with reading(self.path) as transaction:
            value = transaction.get(name.encode())
            if value is None:
                raise InputError(f"'{self.path}' has no image '{name}'.")
            return bytes(value)

    def image(self, name: str) -> images.RGBImage:
        """Return one image, shape (H, W, 3), uint8, RGB.

        Raises:
            InputError: The database has no such key, or its bytes are not an image, or are one of another size than
                ``meta_info.txt`` says, as of a photograph that was stored with its EXIF orientation.
        """
        image = images.decode(self.read(name), self.where(name))
        if image.shape[:2] != self._sizes[name]:
            (height, width), (said_height, said_width) = image.shape[:2], self._sizes[name]
            raise InputError(
                f'{self.where(name)} is {width}x{height}, but meta_info.txt says {said_width}x{said_height}; write the '
                'database again.'
            )
        return image
