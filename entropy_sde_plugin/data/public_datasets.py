"""The folders and databases of the public data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entropy_sde_plugin.data.archives import Archive, present
from entropy_sde_plugin.errors import InputError

__all__ = ['DATASETS', 'Layout']


@dataclass(frozen=True, kw_only=True)
class Layout(Archive):
    """The layout of one data set: its splits, and the pairs of folders of each in its archives.

    Attributes:
        folders: For each split the folders of dark and bright images, relative to the root, in every known layout.
        without_gt: Splits whose ground truth may be missing.
        prefixes: Prefixes of the dark and the bright file names, before their common part.
    """

    folders: Mapping[str, tuple[tuple[str, str], ...]]
    without_gt: frozenset[str] = frozenset()
    prefixes: tuple[str, str] = ('', '')

    def key(self, gt_name: str) -> str:
        """Return the part of a bright image's name that is common to the pair."""
        return gt_name.removeprefix(self.prefixes[1])

    def lq_name(self, gt_name: str) -> str:
        """Return the dark partner's name; it is the same if the name has no prefix, as in prepared databases."""
        has_prefix = gt_name.startswith(self.prefixes[1])
        return f'{self.prefixes[0]}{self.key(gt_name)}' if has_prefix else gt_name

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
            InputError: Not found, and then the message lists what was looked for; or the folder cannot be read.
        """
        databases = self.database_places(split) if backend != 'disk' else []
        folders = self.folders[split] if backend != 'lmdb' else ()
        places = [*databases, *folders]
        for dark, bright in present(root, places):
            if bright is not None or split in self.without_gt:
                return dark, bright
        looked_for = ' or '.join(f'{dark} with {bright}' for dark, bright in places)
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
