"""LMDB databases from the unpacked archives of SID and ELD."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entropy_sde_plugin.data.raw_archives import ELD, SID, RawArchive
from entropy_sde_plugin.data.raw_files import ELD_RATIOS, RawFilePair, eld_pairs, sid_pairs
from entropy_sde_plugin.data.raw_frame import read_frame
from entropy_sde_plugin.data.raw_lmdb import planes_writer
from entropy_sde_plugin.data.raw_packing import RELEASED_WHITE
from entropy_sde_plugin.data.raw_pairs import check_sizes, file_pairs
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.atomic_folder import atomic_folder
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['PATCH', 'patches', 'prepare_raw']

PATCH = 512
"""Side of SID's training patches, as released."""

_ELD_SCENES = tuple(f'scene-{number}' for number in range(1, 11))

Window = tuple[slice, slice, slice]
Scene = tuple[Path, list[RawFilePair]]
Parts = dict[str, list[RawFilePair]]
"""Pairs by the split or camera that they belong to."""

Progress = Callable[[Sequence[Scene], str], Iterable[Scene]]


def prepare_raw(
    archive: RawArchive,
    source: Path,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda scenes, part: scenes,
) -> dict[str, int]:
    """Write the databases of a data set into one folder, all of them or none.

    Values are those of the release: white level 16383, short exposures times their ratio, clipped to [0, 1].

    Args:
        archive: The data set, :data:`~.raw_archives.SID` or :data:`~.raw_archives.ELD`.
        source: Folder of its unpacked archive.
        out: Folder to create; it will hold ``<name>_<part>_lq.lmdb`` and ``…_gt.lmdb``.
        overwrite: Replace ``out`` if it holds nothing but databases.
        progress: Called with the scenes (a long exposure and its pairs) and the name of a part, a split or a camera;
            returns an iterable over the scenes.

    Returns:
        Number of pairs of each part, also of those that are only checked.

    Raises:
        InputError: Missing or unreadable files, sizes that differ; one line for each kind and place.
    """
    problems = Problems()
    parts = _READINGS[archive.name].parts(source, problems)
    for pairs in parts.values():
        check_sizes(file_pairs(pairs, keep=False), problems)
    problems.raise_any()
    with atomic_folder(out, overwrite=overwrite) as folder:
        for part, pairs in parts.items():
            if part not in archive.checked_only:
                with problems.collect():
                    _write(archive, part, pairs, folder, progress)
        problems.raise_any()
    return {part: len(pairs) for part, pairs in parts.items()}


def patches(height: int, width: int) -> list[Window]:
    """Return SID's patches as the release cuts planes: row by row, from the centre whose sides are multiples of 512.

    Example:
        >>> len(patches(1424, 2128))
        8
    """
    rows, columns = height // PATCH, width // PATCH
    top, left = (height - rows * PATCH) // 2, (width - columns * PATCH) // 2
    return [
        (slice(None), slice(row, row + PATCH), slice(column, column + PATCH))
        for row in range(top, top + rows * PATCH, PATCH)
        for column in range(left, left + columns * PATCH, PATCH)
    ]


def _sid_parts(source: Path, problems: Problems) -> Parts:
    """The pairs of every split, by the lists that are in the folder, or else by the names."""
    parts = {}
    for split in ('train', 'val', 'test'):
        lists = [source / name for name in (f'Sony_{split}_list.txt', f'Sony_{split}.txt')]
        with problems.collect():
            parts[split] = sid_pairs(source, split, next((path for path in lists if path.is_file()), None))
    if 'train' in parts and not parts['train']:
        problems.add(f'{source / "short"} holds no training scenes, whose numbers begin with 0.')
    return parts


def _eld_parts(source: Path, problems: Problems) -> Parts:
    """The pairs of every camera, of both ratios."""
    cameras = sorted({scene.parent for scene in source.glob('*/scene-*')})
    if not cameras:
        problems.add(f'{source} holds no folder of a camera, as SonyA7S2, with scene-1 to scene-10.')
    parts = {}
    for camera in cameras:
        with problems.collect():
            parts[camera.name] = [pair for ratio in ELD_RATIOS for pair in eld_pairs(camera, ratio, _ELD_SCENES)]
    return parts


def _whole(height: int, width: int) -> list[Window]:
    return [(slice(None), slice(0, height), slice(0, width))]


@dataclass(frozen=True)
class _Reading:
    """How an archive is read.

    Attributes:
        parts: Finds its pairs below a folder.
        windows: What is stored of planes of a height and a width.
    """

    parts: Callable[[Path, Problems], Parts]
    windows: Callable[[int, int], list[Window]] = _whole


_READINGS = {SID.name: _Reading(_sid_parts, patches), ELD.name: _Reading(_eld_parts)}


def _write(archive: RawArchive, part: str, pairs: Sequence[RawFilePair], folder: Path, progress: Progress) -> None:
    scenes: dict[Path, list[RawFilePair]] = {}
    for pair in pairs:
        scenes.setdefault(pair.long, []).append(pair)
    short_name, long_name = archive.databases(part)
    problems = Problems()
    with planes_writer(folder / long_name) as longs, planes_writer(folder / short_name) as shorts:
        for long, pairs_of_it in progress(list(scenes.items()), part):
            with problems.collect():
                frame = read_frame(long, white=RELEASED_WHITE)
                height, width = frame.planes.shape[1:]
                windows = _READINGS[archive.name].windows(height, width)
                if not windows:
                    raise InputError(f'{long}: planes of {width}x{height} hold no patch of {PATCH}x{PATCH}.')
                truths = [longs.put(frame, frame.planes[window], source=long.stem) for window in windows]
                for pair in pairs_of_it:
                    frame = read_frame(pair.short, white=RELEASED_WHITE)
                    bright = frame.planes * np.float32(pair.ratio)
                    for window, truth in zip(windows, truths, strict=True):
                        shorts.put(frame, bright[window], source=pair.name, ratio=pair.ratio, truth=truth)
        problems.raise_any()
