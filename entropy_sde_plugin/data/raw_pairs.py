"""Pairs of a short and a long raw exposure, wherever they lie: in files, or in databases of packed planes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from entropy_sde_plugin.data.raw_files import RawFilePair
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata, planes_size, read_frame
from entropy_sde_plugin.data.raw_lmdb import PlanesReader, StoredFrame
from entropy_sde_plugin.data.sizes import Sized, check_equal_sizes
from entropy_sde_plugin.data.sources import NamedImage
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.problems import Problems

__all__ = [
    'Frame',
    'FrameSource',
    'Planes',
    'RawFile',
    'RawPair',
    'StoredImage',
    'check_sizes',
    'file_pairs',
    'stored_pairs',
]


class Planes(Protocol):
    """Packed planes (4, H, W) that can be cut: an array, or what a database reads on demand."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> NDArray[Any]: ...


class Frame(Protocol):
    """A raw image: a ``RawFrame`` or a ``StoredFrame``."""

    @property
    def planes(self) -> Planes: ...

    @property
    def metadata(self) -> RawMetadata: ...

    @property
    def value_range(self) -> float: ...


class FrameSource(Sized, Protocol):
    """Where a raw image comes from."""

    def frame(self) -> Frame:
        """Return the image."""
        ...


class RawFile:
    """A raw file, decoded when it is asked for.

    Args:
        path: The file.
        keep: Keep the decoded image. It is dropped when the object is pickled.
        rggb: See :func:`~.raw_frame.read_frame`.
        levels: Its ``white`` and ``keep_negative``.
    """

    def __init__(self, path: Path, *, keep: bool, rggb: bool = False, **levels: Any) -> None:
        self.path = path
        self._keep = keep
        self._rggb = rggb
        self._levels = levels
        self._kept: RawFrame | None = None
        self._size: tuple[int, int] | None = None

    @property
    def where(self) -> str:
        return str(self.path)

    def size(self) -> tuple[int, int]:
        if self._size is None:  # opening a raw file costs tens of milliseconds, and several checks ask
            self._size = planes_size(self.path, rggb=self._rggb)
        return self._size

    def frame(self) -> RawFrame:
        frame = self._kept or read_frame(self.path, rggb=self._rggb, **self._levels)
        if self._keep:
            self._kept = frame
        return frame

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_kept': None}


@dataclass(frozen=True)
class StoredImage(NamedImage):
    """An image of a database, by its key."""

    source: PlanesReader

    def frame(self) -> StoredFrame:
        return self.source.frame(self.name)


@dataclass(frozen=True)
class RawPair:
    """Two images of a scene.

    Attributes:
        name: Name of the pair.
        short: The short exposure.
        long: The long one; None without ground truth.
        ratio: Exposure of the long, or of what is wanted, over that of the short one, above 1.
        brightened: Whether the planes of the short exposure are already times the ratio.
    """

    name: str
    short: FrameSource
    long: FrameSource | None
    ratio: float
    brightened: bool = False


def file_pairs(pairs: Iterable[RawFilePair], **reading: Any) -> list[RawPair]:
    """Return pairs of files as pairs of images; arguments are those of ``RawFile``."""
    files: dict[Path, RawFile] = {}  # a long exposure serves several short ones

    def source(path: Path) -> RawFile:
        return files.setdefault(path, RawFile(path, **reading))

    return [RawPair(pair.name, source(pair.short), source(pair.long), pair.ratio) for pair in pairs]


def check_sizes(pairs: Iterable[RawPair], problems: Problems) -> None:
    """Check, without decoding them, that the planes of each pair have the same size; see ``check_equal_sizes``."""
    both = ((pair.short, pair.long) for pair in pairs if pair.long is not None)
    check_equal_sizes(both, problems, verb='has planes of')


def stored_pairs(shorts: PlanesReader, longs: PlanesReader) -> list[RawPair]:
    """Return the pairs of two databases.

    Raises:
        InputError: The truth of a short exposure is not in the other database.
    """
    truths = set(longs.names)
    pairs = []
    for key in shorts.names:
        record = shorts.frame(key).record
        if record.ratio is None or record.truth is None or record.truth not in truths:
            raise InputError(f'{shorts.where(key)} has no partner in {longs.path}; write both databases again.')
        short, long = StoredImage(shorts, key), StoredImage(longs, record.truth)
        pairs.append(RawPair(record.source, short, long, record.ratio, brightened=True))
    return pairs
