"""The folders and databases of the public data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entropy_sde_plugin.errors import InputError

__all__ = ['DATASETS', 'Layout']


@dataclass(frozen=True)
class Layout:
    """The layout of one data set: its splits, and the pairs of folders of each in its archives.

    Attributes:
        name: Short name; the prepared databases are called ``<name>_<split>_lq.lmdb`` and ``…_gt.lmdb``, so that
            those of two sets cannot be confused.
        title: Its usual name.
        source: Where to get the archives.
        folders: For each split the folders of dark and bright images, relative to the root, in every known layout.
        counts: Published number of images of each split.
        without_gt: Splits whose ground truth may be missing.
        prefixes: Prefixes of the dark and the bright file names, before their common part.
    """

    name: str
    title: str
    source: str
    folders: Mapping[str, tuple[tuple[str, str], ...]]
    counts: Mapping[str, int]
    without_gt: frozenset[str] = frozenset()
    prefixes: tuple[str, str] = ('', '')

    @property
    def prepared(self) -> str:
        """Name of the folder of prepared databases, by default inside that of the unpacked archive."""
        return f'{self.name}_lmdb'

    def key(self, gt_name: str) -> str:
        """Return the part of a bright image's name that is common to the pair."""
        return gt_name.removeprefix(self.prefixes[1])

    def lq_name(self, gt_name: str) -> str:
        """Return the dark partner's name; it is the same if the name has no prefix, as in prepared databases."""
        has_prefix = gt_name.startswith(self.prefixes[1])
        return f'{self.prefixes[0]}{self.key(gt_name)}' if has_prefix else gt_name

    def databases(self, split: str) -> tuple[str, str]:
        """Return the names of a split's prepared databases, dark and bright."""
        return f'{self.name}_{split}_lq.lmdb', f'{self.name}_{split}_gt.lmdb'

    def find(
        self, root: str | Path, split: str, backend: Literal['lmdb', 'disk'] | None = None
    ) -> tuple[Path, Path | None]:
        """Find a split under ``root``.

        Args:
            root: Folder of the unpacked archive, with or without the folder ``prepared`` in it, or the latter itself.
            split: A key of ``folders``.
            backend: Look for databases only, or for folders only; by default for databases first.

        Returns:
            The folders or databases of dark and bright images; None for the latter where they may be missing.

        Raises:
            InputError: Not found; the message lists what was looked for.
        """
        dark, bright = self.databases(split)
        databases = [(dark, bright), (f'{self.prepared}/{dark}', f'{self.prepared}/{bright}')]
        candidates = [*(databases if backend != 'disk' else ()), *(self.folders[split] if backend != 'lmdb' else ())]
        try:
            for dark, bright in candidates:
                lq, gt = Path(root, dark).expanduser(), Path(root, bright).expanduser()
                if lq.is_dir() and gt.is_dir():
                    return lq, gt
                if lq.is_dir() and split in self.without_gt:
                    return lq, None
        except (OSError, RuntimeError) as error:  # a name too long, no permission; no such user's ~
            raise InputError(f"'{root}' cannot be read ({error}).", option='dataroot') from None
        looked_for = ' or '.join(f'{dark} with {bright}' for dark, bright in candidates)
        missing = f"'{root}' holds no {split} split of {self.title}: looked for {looked_for}."
        raise InputError(missing, option='dataroot')


DATASETS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout(
            name='lolv1',
            title='LOL-v1',
            source='the project page of "Deep Retinex Decomposition for Low-Light Enhancement" (BMVC 2018), '
            'https://daooshee.github.io/BMVC2018website',
            folders={
                'train': (('our485/low', 'our485/high'), ('Train/input', 'Train/target')),
                'test': (('eval15/low', 'eval15/high'), ('Test/input', 'Test/target')),
            },
            counts={'train': 485, 'test': 15},
        ),
        Layout(
            name='lolv2_real',
            title='LOL-v2-real',
            source='the repository of "From Fidelity to Perceptual Quality" (CVPR 2020), '
            'https://github.com/flyywh/CVPR-2020-Semi-Low-Light',
            folders={
                'train': (('Real_captured/Train/Low', 'Real_captured/Train/Normal'),),
                'test': (('Real_captured/Test/Low', 'Real_captured/Test/Normal'),),
            },
            counts={'train': 689, 'test': 100},
            prefixes=('low', 'normal'),
        ),
        Layout(
            name='lolv2_syn',
            title='LOL-v2-synthetic',
            source='the repository of "From Fidelity to Perceptual Quality" (CVPR 2020), '
            'https://github.com/flyywh/CVPR-2020-Semi-Low-Light',
            folders={
                'train': (('Synthetic/Train/Low', 'Synthetic/Train/Normal'),),
                'test': (('Synthetic/Test/Low', 'Synthetic/Test/Normal'),),
            },
            counts={'train': 900, 'test': 100},
        ),
        Layout(
            name='velol',
            title='VE-LOL (captured)',
            source='the project page of "Benchmarking Low-Light Image Enhancement and Beyond" (IJCV 2021), '
            'https://flyywh.github.io/IJCV2021LowLight_VELOL',
            folders={
                split: (
                    (f'VE-LOL-L-Cap-Low_{split}', f'VE-LOL-L-Cap-Normal_{split}'),
                    (f'VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Low_{split}', f'VE-LOL-L-Cap-Full/VE-LOL-L-Cap-Normal_{split}'),
                )
                for split in ('train', 'test')
            },
            counts={'train': 400, 'test': 100},
            prefixes=('low', 'normal'),
        ),
        Layout(
            name='ntire24',
            title='NTIRE 2024 low-light enhancement',
            source='the challenge on CodaLab, https://codalab.lisn.upsaclay.fr/competitions/17640, after registration',
            folders={
                'train': (('train/input', 'train/target'),),
                'val': (('val/input', 'val/target'),),
                'test': (('test/input', 'test/target'),),
            },
            counts={'train': 230, 'val': 35, 'test': 35},
            without_gt=frozenset({'val', 'test'}),
        ),
    )
}
"""The data sets by their short names."""
