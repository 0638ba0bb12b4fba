"""Databases of packed raw planes in LMDB: a writer and a reader that reads no more than a crop needs.

A database is a folder ``<name>.lmdb`` with ``data.mdb`` and ``meta_info.json``. Keys and values are those of the
released ExposureDiffusion: eight digits; planes R, G, B, G in [0, 1] as uint16, 65535 times the value, rounded down,
row by row. What belongs to the planes lies in JSON, where the release has pickled Python objects, which could run any
code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.lmdb_values import ValueWriter, new_values, reading, stored_keys
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata, value_range
from entropy_sde_plugin.errors import InputError, about
from entropy_sde_plugin.utils.paths import regular

__all__ = [
    'PlanesReader',
    'PlanesRecord',
    'PlanesWriter',
    'StoredFrame',
    'StoredPlanes',
    'holds_planes',
    'open_planes',
    'planes_writer',
]

_META = 'meta_info.json'
_WHITE = np.float32(65535)

Colour = tuple[float, float, float]


class PlanesRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of planes in a database.

    Attributes:
        source: Name of the raw file.
        black: Black level of each plane, ADU.
        white: White level, ADU.
        white_balance: Gains of R, G, B, G.
        matrix: From the camera's colours to linear sRGB, (3, 3).
        shape: (4, H, W).
        iso: None where the file does not say.
        exposure_time: Seconds; None where the file does not say.
        ratio: For a short exposure, its truth's exposure over its own. The planes are multiplied by it and clipped.
        truth: For a short exposure, the key of its truth in the other database.
    """

    source: str
    black: tuple[float, float, float, float]
    white: float
    white_balance: tuple[float, float, float, float]
    matrix: tuple[Colour, Colour, Colour]
    shape: tuple[int, int, int]
    iso: float | None = None
    exposure_time: float | None = None
    ratio: float | None = None
    truth: str | None = None


# --- writing ----------------------------------------------------------------------------------------------------------


@contextmanager
def planes_writer(path: str | Path, *, overwrite: bool = False) -> Iterator[PlanesWriter]:
    """Write a database that appears complete at ``path`` when the block ends, or not at all when it raises.

    Args:
        path: Folder of the database; must end in ``.lmdb``.
        overwrite: Replace an existing database.

    Yields:
        A writer; see ``PlanesWriter.put``.

    Raises:
        InputError: Wrong suffix, ``path`` exists, no planes at all, or a full disk.
    """
    with new_values(path, overwrite=overwrite) as values:
        writer = PlanesWriter(values)
        yield writer
        writer.finish()


class PlanesWriter:
    """Puts planes into one new database; made by ``planes_writer``.

    Example:
        >>> from entropy_sde_plugin.data.raw_frame import read_frame
        >>> frame = read_frame(Path('datasets/raw/long/a.dng'))
        >>> with planes_writer('datasets/long.lmdb', overwrite=True) as writer:
        ...     writer.put(frame, frame.planes, source='a.dng')
        '00000000'
    """

    def __init__(self, values: ValueWriter) -> None:
        self._values = values
        self._records: dict[str, PlanesRecord] = {}

    def put(
        self,
        frame: RawFrame,
        planes: NDArray[np.float32],
        *,
        source: str,
        ratio: float | None = None,
        truth: str | None = None,
    ) -> str:
        """Store planes and return their key.

        Args:
            frame: What they come from.
            planes: (4, H, W); values outside [0, 1] are clipped.
            source, ratio, truth: See ``PlanesRecord``.
        """
        key = f'{len(self._records):08d}'
        self._values.put(key.encode(), np.floor(planes.clip(0, 1) * _WHITE).astype('<u2').tobytes())
        metadata = frame.metadata
        record = {
            'source': source,
            'black': frame.black,
            'white': frame.white,
            'white_balance': metadata.white_balance.tolist(),
            'matrix': metadata.matrix.tolist(),
            'shape': planes.shape,
            'iso': metadata.iso,
            'exposure_time': metadata.exposure_time,
            'ratio': ratio,
            'truth': truth,
        }
        self._records[key] = msgspec.convert(record, PlanesRecord)
        return key

    def finish(self) -> None:
        """Write ``meta_info.json`` and sync everything to disk."""
        if not self._records:
            raise InputError(f"'{self._values.name}' would be empty: there are no raw images to write.")
        self._values.finish(_META, msgspec.json.format(msgspec.json.encode(self._records), indent=1).decode())


# --- reading ----------------------------------------------------------------------------------------------------------


class StoredPlanes:
    """Planes in a database, of which a cut reads and converts only what it needs.

    Args:
        path: Folder of the database.
        key: Key of the planes.
        shape: (4, H, W).

    Example:
        With a database of one raw image:

        >>> planes = PlanesReader('datasets/raw.lmdb').frame('00000000').planes
        >>> planes.shape, planes[:, :8, :8].shape
        ((4, 16, 20), (4, 8, 8))
    """

    def __init__(self, path: Path, key: str, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._key = key
        self.shape = shape

    def __getitem__(self, window: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        with reading(self._path) as transaction:
            value = transaction.get(self._key.encode())
            if value is None or len(value) != 2 * np.prod(self.shape):
                fault = f"'{self._path}': '{self._key}' is not what {_META} says; write the database again."
                raise InputError(fault)
            stored = np.frombuffer(value, '<u2').reshape(self.shape)
            return np.divide(stored[window], _WHITE, dtype=np.float32)


@dataclass(frozen=True)
class StoredFrame:
    """A raw image of a database; like a ``RawFrame``, but its planes are read when they are cut.

    Attributes:
        planes: R, G, B, G, (4, H, W), in [0, 1].
        record: What is known of them.
    """

    planes: StoredPlanes
    record: PlanesRecord

    @property
    def metadata(self) -> RawMetadata:
        """What is known of its exposure."""
        record = self.record
        return RawMetadata(
            iso=record.iso,
            exposure_time=record.exposure_time,
            white_balance=np.asarray(record.white_balance, np.float32),
            matrix=np.asarray(record.matrix, np.float32),
        )

    @property
    def value_range(self) -> float:
        """White less the mean black level, ADU."""
        return value_range(self.record.white, self.record.black)


def holds_planes(path: str | Path) -> bool:
    """Whether a path is a database of raw planes, and not of images."""
    return os.path.exists(Path(path) / _META)  # noqa: PTH110  Path.exists raises where a name is too long


class PlanesReader:
    """Raw images of one database, by key. It can be pickled and used in forked and spawned workers.

    Args:
        path: Folder of the database.

    Raises:
        InputError: The database does not exist, is damaged, or does not match its ``meta_info.json``.

    Example:
        With a database of one raw image:

        >>> reader = PlanesReader('datasets/raw.lmdb')
        >>> reader.names, reader.size('00000000'), reader.frame('00000000').record.iso
        (('00000000',), (16, 20), 200.0)
    """

    option = ''
    """The option that named the database, for errors."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._records = msgspec.json.decode(regular(self.path / _META).read_bytes(), type=dict[str, PlanesRecord])
        except OSError as error:
            fault = f'it has no readable {_META} ({error.strerror})'
            raise InputError(f"'{path}' is not a database of raw planes: {fault}.") from None
        except msgspec.DecodeError as error:
            raise InputError(f"'{self.path / _META}' is damaged ({error}); write the database again.") from None
        self.names = tuple(self._records)
        if {name.encode() for name in self.names} != stored_keys(path):
            raise InputError(f"'{path}': {_META} and data.mdb name different images; write the database again.")

    def where(self, name: str) -> str:
        """Return database and key, for messages and as the path of a sample."""
        return f'{self.path}/{name}'

    def size(self, name: str) -> tuple[int, int]:
        """Return (height, width) of the planes."""
        return self._records[name].shape[1:]

    def frame(self, name: str) -> StoredFrame:
        """Return an image, whose planes are not read yet."""
        record = self._records[name]
        return StoredFrame(StoredPlanes(self.path, name, record.shape), record)


def open_planes(path: str | Path, option: str) -> PlanesReader:
    """Open a database of raw planes.

    Args:
        path: Folder of the database.
        option: The option that names ``path``; errors about the database carry it.

    Raises:
        InputError: As ``PlanesReader``.
    """
    with about(option):
        reader = PlanesReader(path)
    reader.option = option
    return reader
