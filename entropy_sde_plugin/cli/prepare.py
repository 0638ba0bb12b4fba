"""``entropy-sde prepare``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.cli.arguments import add_verbosity
from entropy_sde_plugin.data.public_datasets import DATASETS
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.console import report, tracked

if TYPE_CHECKING:
    from entropy_sde_plugin.data.public_datasets import Layout


def add_verb(verbs: Any) -> None:
    """Add the verb to the command's parser. Nothing heavier than this module is imported before the verb runs."""
    prepare = verbs.add_parser(
        'prepare',
        help='check a downloaded public data set and write it as LMDB databases',
        description='Checks the pairs of an unpacked public data set and writes LMDB databases for training and test.',
    )
    datasets = prepare.add_subparsers(title='data sets', required=True, metavar='DATASET')
    for layout in DATASETS.values():
        _add_dataset(datasets, layout)


def _add_dataset(datasets: Any, layout: Layout) -> None:
    trees = [f'  {split}: {" and ".join(pair)}' for split, pairs in layout.folders.items() for pair in pairs]
    optional = ' and '.join(sorted(layout.without_gt))
    parser = datasets.add_parser(
        layout.name.replace('_', '-'),
        help=layout.title,
        description=f'Checks {layout.title} and writes it as LMDB databases.',
        epilog='\n'.join(
            [
                f'The archive is available from {layout.source}.',
                'This command cannot download it: fetch and unpack it yourself. The unpacked folder must contain',
                *trees,
                *([f'where the second folder may be missing for {optional}.'] if optional else []),
                'The databases hold 8-bit RGB PNG files. Option files with "dataroot: FOLDER" read them instead of',
                'the folders. Every image without a partner, of another size than its partner, unreadable, or with a',
                'name that cannot be a key is listed, and then nothing is written.',
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='the unpacked archive')
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='output folder [a new folder in FOLDER]')
    parser.add_argument('--splits', nargs='+', choices=[*layout.folders], help='splits to write [all]')
    parser.add_argument('--overwrite', action='store_true', help='replace all databases that were written before')
    add_verbosity(parser)
    parser.set_defaults(run=run, layout=layout)


def run(options: argparse.Namespace) -> None:
    """Run the verb."""
    from entropy_sde_plugin.data.prepare import prepare

    layout: Layout = options.layout
    out = options.out or options.folder / layout.prepared
    try:
        counts = prepare(
            layout,
            options.folder,
            out,
            splits=options.splits,
            overwrite=options.overwrite,
            progress=lambda pairs, split: tracked(pairs, 'images', f'{layout.title} {split}'),
        )
    except (InputError, KeyboardInterrupt):
        print(f'Nothing was written to {out}.', file=sys.stderr)
        raise
    for split, count in counts.items():
        expected = layout.counts[split]
        note = '' if count == expected else f' (the published split has {expected})'
        report(f'{split}: {count} images{note}')
    dataroot = options.folder if options.out is None else out
    report(f'Written to {out}; option files find it by "dataroot: {dataroot}".')
