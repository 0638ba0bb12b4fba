"""LMDB databases from the unpacked archives of the public data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.lmdb import check_keys, lmdb_writer
from entropy_sde_plugin.data.public_datasets import Layout
from entropy_sde_plugin.data.sources import ImageFolder, Pair, check_sizes, match_pairs, renamed
from entropy_sde_plugin.utils.atomic_folder import atomic_folder
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['prepare']

Progress = Callable[[Sequence[Pair], str], Iterable[Pair]]


class _Split(NamedTuple):
    name: str
    lq: ImageFolder
    gt: ImageFolder | None
    pairs: Sequence[Pair]

    @property
    def sources(self) -> list[ImageFolder]:
        """The sets of images, the dark one first."""
        return [self.lq] if self.gt is None else [self.lq, self.gt]

    def databases(self, layout: Layout) -> tuple[str, ...]:
        """Names of the databases for ``sources``."""
        return layout.databases(self.name)[: len(self.sources)]


def prepare(
    layout: Layout,
    source: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: Progress = lambda pairs, split: pairs,
) -> dict[str, int]:
    """Write the databases of a data set into one folder, all of them or none.

    Args:
        layout: The data set.
        source: Folder of its unpacked archive.
        out: Folder to create; it will hold ``<name>_<split>_lq.lmdb`` and, with ground truth, ``…_gt.lmdb``.
        splits: The splits to write; all by default.
        overwrite: Replace ``out`` if it holds nothing but databases.
        progress: Called with the pairs and the name of a split; returns an iterable over the pairs.

    Returns:
        Number of images of each split.

    Raises:
        InputError: Missing splits and partners, sizes that differ, names that cannot be keys, unreadable images; one
            line for each.
    """
    problems = Problems()
    found: list[_Split] = []
    for name in splits or layout.folders:
        with problems.collect():
            found.append(_open_split(layout, source, name, problems))
    if problems:  # nothing will be written, but damaged images are reported now instead of at the next attempt
        for split in found:
            for _ in _images(layout, split, problems, progress):
                pass
        problems.raise_any()
    with atomic_folder(out, overwrite=overwrite) as part:
        for split in found:
            with problems.collect():
                _write_split(layout, split, part, progress)
        problems.raise_any()
    return {split.name: len(split.pairs) for split in found}


def _open_split(layout: Layout, source: str | Path, name: str, problems: Problems) -> _Split:
    """Find a split, and check its names and headers."""
    dark, bright = layout.find(source, name, 'disk')
    lq = ImageFolder(dark, problems)
    if bright is None:
        pairs, gt = [Pair(image, None) for image in lq.names], None
        with problems.collect():
            check_keys(lq.names, str(dark))
    else:
        gt = ImageFolder(bright, problems)
        pairs = match_pairs(lq, gt, layout.lq_name, problems=problems)
        with problems.collect():
            check_keys([renamed(image, layout.key) for image in gt.names], str(bright))
        with problems.collect():
            check_sizes(lq, gt, pairs)
    split = _Split(name, lq, gt, pairs)
    for folder in split.sources:
        folder.warn_of_left_out()
    return split


def _write_split(layout: Layout, split: _Split, folder: Path, progress: Progress) -> None:
    problems = Problems()
    with ExitStack() as stack:
        writers = [stack.enter_context(lmdb_writer(folder / database)) for database in split.databases(layout)]
        for key, pictures in _images(layout, split, problems, progress):
            for writer, picture in zip(writers, pictures, strict=True):
                writer.put(key, picture)
        problems.raise_any()


def _images(
    layout: Layout, split: _Split, problems: Problems, progress: Progress
) -> Iterator[tuple[str, list[images.RGBImage]]]:
    """Read a split: the key and the images of every sample; those that cannot be read are recorded and left out."""
    for pair in progress(split.pairs, split.name):
        pictures = []
        for source, name in zip(split.sources, pair, strict=False):  # a pair without truth has one source
            with problems.collect():
                pictures.append(source.image(str(name)))
        if len(pictures) == len(split.sources):
            yield pair.lq if pair.gt is None else renamed(pair.gt, layout.key), pictures
