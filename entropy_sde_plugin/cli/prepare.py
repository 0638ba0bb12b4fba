"""``entropy-sde prepare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.cli.arguments import add_path, add_verbosity, named_path
from entropy_sde_plugin.data.public_datasets import DATASETS
from entropy_sde_plugin.data.raw_archives import RAW_ARCHIVES
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.console import report, tracked

if TYPE_CHECKING:
    from entropy_sde_plugin.data.archives import Archive
    from entropy_sde_plugin.data.public_datasets import Layout
    from entropy_sde_plugin.data.raw_archives import RawArchive


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    prepare = verbs.add_parser(
        'prepare',
        help='check a downloaded public data set and write it as LMDB databases',
        description='Checks the pairs of an unpacked public data set and writes LMDB databases for training and test.',
    )
    datasets = prepare.add_subparsers(title='data sets', required=True, metavar='DATASET')
    for layout in DATASETS.values():
        _add_images(datasets, layout)
    for archive in RAW_ARCHIVES.values():
        _add_raw(datasets, archive)


def _add_images(datasets: Any, layout: Layout) -> None:
    trees = [f'  {split}: {" and ".join(pair)}' for split, pairs in layout.folders.items() for pair in pairs]
    optional = ' and '.join(sorted(layout.without_gt))
    parser = _add_dataset(
        datasets,
        layout,
        [
            *trees,
            *([f'where the second folder may be missing for {optional}.'] if optional else []),
            'The databases hold 8-bit RGB PNG files. Option files with "dataroot: FOLDER" read them instead of',
            'the folders. Every image without a partner, of another size than its partner, unreadable, or with a',
            'name that cannot be a key is listed, and then nothing is written.',
        ],
    )
    parser.add_argument('--splits', nargs='+', action='extend', choices=[*layout.folders], help='splits to write [all]')
    parser.set_defaults(run=run_images)


def _add_raw(datasets: Any, archive: RawArchive) -> None:
    rules = (
        'Files that are missing or unreadable are listed, and then nothing is written. Reading raw files needs the',
        "extra 'raw'.",
    )
    parser = _add_dataset(datasets, archive, [*archive.files, *archive.contents, *rules])
    parser.set_defaults(run=run_raw)


def _add_dataset(datasets: Any, archive: Archive, epilog: Sequence[str]) -> argparse.ArgumentParser:
    parser = datasets.add_parser(
        archive.name.replace('_', '-'),
        help=archive.title,
        description=f'Checks {archive.title} and writes it as LMDB databases.',
        epilog='\n'.join(
            [
                f'The archive is available from {archive.source}.',
                'This command cannot download it: fetch and unpack it yourself. The unpacked folder must contain',
                *epilog,
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('folder', type=named_path, metavar='FOLDER', help='the unpacked archive')
    add_path(parser, '--out', metavar='FOLDER', help='output folder [a new folder in FOLDER]')
    parser.add_argument('--overwrite', action='store_true', help='replace all databases that were written before')
    add_verbosity(parser)
    parser.set_defaults(layout=archive)
    return parser


def run_images(options: argparse.Namespace) -> None:
    """Run the verb on a data set of images."""
    from entropy_sde_plugin.data.prepare import prepare

    layout: Layout = options.layout
    with _output_folder(options) as out:
        counts = prepare(
            layout,
            options.folder,
            out,
            splits=options.splits,
            overwrite=options.overwrite,
            progress=lambda pairs, split: tracked(pairs, 'images', f'{layout.title} {split}'),
        )
        for split, count in counts.items():
            report(f'{split}: {count} images{_published(count, layout.counts[split])}')


def run_raw(options: argparse.Namespace) -> None:
    """Run the verb on a data set of raw files."""
    from entropy_sde_plugin.data.prepare_raw import prepare_raw

    archive: RawArchive = options.layout
    with _output_folder(options) as out:
        counts = prepare_raw(
            archive,
            options.folder,
            out,
            overwrite=options.overwrite,
            progress=lambda scenes, part: tracked(scenes, 'scenes', f'{archive.title} {part}'),
        )
        for part, count in counts.items():
            note = ', checked; they are read from the files' if part in archive.checked_only else ''
            report(f'{part}: {count} pairs{_published(count, archive.counts.get(part, count))}{note}')


def _published(count: int, expected: int) -> str:
    return '' if count == expected else f' (the published split has {expected})'


@contextmanager
def _output_folder(options: argparse.Namespace) -> Iterator[Path]:
    """The folder to write, and what is said of it after the block."""
    out = options.out or options.folder / options.layout.prepared
    try:
        yield out
    except (InputError, KeyboardInterrupt):
        print(f'Nothing was written to {out}.', file=sys.stderr)
        raise
    dataroot = options.folder if options.out is None else out
    report(f'Written to {out}; option files find it by "dataroot: {dataroot}".')
