"""From the unpacked archives of the public data sets to LMDB databases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from entropy_sde_plugin.data.atomic_folder import atomic_folder
from entropy_sde_plugin.data.layouts import DATASETS, Layout
from entropy_sde_plugin.data.lmdb_store import check_keys, lmdb_writer
from entropy_sde_plugin.data.problems import Problems
from entropy_sde_plugin.data.sources import ImageFolder, Pair, check_sizes, match_pairs
from entropy_sde_plugin.errors import InputError

__all__ = ['main', 'prepare']

Progress = Callable[[Sequence[Pair], str], Iterable[Pair]]


class _Split(NamedTuple):
    name: str
    lq: ImageFolder
    gt: ImageFolder | None
    pairs: Sequence[Pair]


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
        InputError: Missing splits and partners, sizes that differ, names that cannot be keys, unreadable images: a line
            for each. What names and headers tell is checked before the first image is read.
    """
    problems = Problems()
    found: list[_Split] = []
    for name in splits or layout.folders:
        with problems.gather():
            found.append(_open_split(layout, source, name))
    problems.raise_any()
    with atomic_folder(out, overwrite=overwrite) as part:
        for split in found:
            with problems.gather():
                _write_split(layout, split, part, progress)
        problems.raise_any()
    return {split.name: len(split.pairs) for split in found}


def _open_split(layout: Layout, source: str | Path, name: str) -> _Split:
    dark, bright = layout.find(source, name, 'disk')
    lq = ImageFolder(dark)
    if bright is None:
        pairs, gt = [Pair(image, None) for image in lq.names], None
        check_keys(lq.names, str(dark))
    else:
        gt = ImageFolder(bright)
        pairs = match_pairs(lq, gt, layout.lq_name)
        check_keys([layout.key(image) for image in gt.names], str(bright))
        check_sizes(lq, gt, pairs)
    return _Split(name, lq, gt, pairs)


def _write_split(layout: Layout, split: _Split, folder: Path, progress: Progress) -> None:
    dark, bright = layout.databases(split.name)
    problems = Problems()
    with ExitStack() as stack:
        sides = [(split.lq, stack.enter_context(lmdb_writer(folder / dark)))]
        if split.gt is not None:
            sides.append((split.gt, stack.enter_context(lmdb_writer(folder / bright))))
        for pair in progress(split.pairs, split.name):
            key = pair.lq if pair.gt is None else layout.key(pair.gt)
            for name, (source, writer) in zip(pair, sides, strict=False):  # a pair without truth has one side
                try:
                    image = source.image(str(name))
                except InputError as error:
                    problems.add(str(error))
                else:
                    writer.put(key, image)
        problems.raise_any()


def main(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run the command that prepares one data set.

    Args:
        name: Key of ``layouts.DATASETS``.
        arguments: Command line without the program's name; ``sys.argv`` by default.

    Returns:
        Exit status: 0, or 1 after one line for each problem, or 130 after Ctrl-C.
    """
    layout = DATASETS[name]
    options = _parser(layout).parse_args(arguments)
    out = options.out or options.source / layout.prepared
    try:
        counts = prepare(
            layout,
            options.source,
            out,
            splits=options.splits,
            overwrite=options.overwrite,
            progress=lambda pairs, split: tqdm(pairs, desc=f'{layout.title} {split}', unit='image'),
        )
    except InputError as error:
        for line in str(error).splitlines():
            print(f'error: {line}', file=sys.stderr)
        print(f'Nothing was written to {out}.', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'Interrupted; nothing was written to {out}.', file=sys.stderr)
        return 130
    for split, count in counts.items():
        expected = layout.counts[split]
        note = '' if count == expected else f' (the published split has {expected})'
        print(f'{split}: {count} images{note}')
    dataroot = options.source if options.out is None else out
    print(f'Written to {out}; option files find it by "dataroot: {dataroot}".')
    return 0


def _parser(layout: Layout) -> argparse.ArgumentParser:
    trees = [f'  {split}: {" and ".join(pair)}' for split, pairs in layout.folders.items() for pair in pairs]
    optional = ' and '.join(sorted(layout.without_gt))
    parser = argparse.ArgumentParser(
        description=f'Make LMDB databases of {layout.title} for training and test.',
        epilog='\n'.join(
            [
                f'The archive is to be had from {layout.source}.',
                'This command cannot fetch it: download and unpack it by hand. It expects in the unpacked folder',
                *trees,
                *([f'where the second folder may be missing for {optional}.'] if optional else []),
                'and writes databases, which option files with "dataroot: SOURCE" then take in place of the folders.',
                'Images are stored as 8-bit RGB PNG files. Every image without a partner, of another size than its',
                'partner, unreadable, or with a name that cannot be a key is listed, and then nothing is written.',
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path, help='folder of the unpacked archive')
    parser.add_argument('--out', type=Path, help=f'folder to write (SOURCE/{layout.prepared})')
    parser.add_argument('--splits', nargs='+', choices=[*layout.folders], help='splits the databases will hold (all)')
    parser.add_argument('--overwrite', action='store_true', help='replace all the databases written before')
    return parser
