"""The public data sets of raw files: where to get them, and what ``entropy-sde prepare`` makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entropy_sde_plugin.data.archives import Archive, present
from entropy_sde_plugin.errors import InputError

__all__ = ['ELD', 'RAW_ARCHIVES', 'SID', 'RawArchive']


@dataclass(frozen=True, kw_only=True)
class RawArchive(Archive):
    """A public data set of raw files.

    Attributes:
        files: What the unpacked folder must contain, line by line.
        contents: What is made of it, line by line.
        checked_only: Splits of which no database is written.
    """

    files: tuple[str, ...]
    contents: tuple[str, ...]
    checked_only: frozenset[str] = frozenset()

    def find(self, root: Path, part: str, backend: Literal['lmdb', 'disk'] | None) -> tuple[Path, Path] | None:
        """Find databases.

        Args:
            root: Folder of the unpacked archive, or that of the databases.
            part: A split or a camera.
            backend: Which storage is asked for; by default databases where they are.

        Returns:
            Those of short and of long exposures; None where files are to be read.

        Raises:
            InputError: There are none, but they are asked for; or the folder cannot be read.
        """
        if backend == 'disk':
            return None
        for short, long in present(root, self.database_places(part)):
            if long is not None:
                return short, long
        if backend == 'lmdb':
            wanted = ' and '.join(self.databases(part))
            message = f"'{root}' holds no {wanted}; 'entropy-sde prepare {self.name}' writes them."
            raise InputError(message, option='dataroot')
        return None


SID = RawArchive(
    name='sid',
    title='SID (Sony)',
    source='the repository of "Learning to See in the Dark" (CVPR 2018), '
    'https://github.com/cchen156/Learning-to-See-in-the-Dark',
    files=(
        '  short/ and long/, raw files such as short/00001_00_0.1s.ARW and long/00001_00_10s.ARW',
        'and may contain lists of pairs, Sony_train_list.txt or Sony_train.txt, and so for val and test; without them',
        'the first takes (…_00_…) of the scenes 0…, 2… and 1… are the splits, as in the published results.',
    ),
    contents=(
        'The databases hold the training split: patches of 512 x 512 values of the four planes, 16 bits, of the long',
        'exposures and of the short ones, times the ratio. SIDDataset reads them in training instead of the files,',
        'SyntheticRawDataset the long ones. The files of the other splits are checked.',
    ),
    counts={'train': 280, 'val': 36, 'test': 93},
    checked_only=frozenset({'val', 'test'}),
)

ELD = RawArchive(
    name='eld',
    title='ELD',
    source='the repository of "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising" (CVPR 2020), '
    'https://github.com/Vandermode/ELD',
    files=('  one folder for each camera, as SonyA7S2, with scene-1/ to scene-10/, each with IMG_0001 to IMG_0016.',),
    contents=(
        'For each camera the databases hold whole frames, four planes of 16 bits: the inputs of ratio 100 and 200,',
        'times the ratio, and their references. ELDDataset reads them instead of the files.',
    ),
)

RAW_ARCHIVES: Mapping[str, RawArchive] = {archive.name: archive for archive in (SID, ELD)}
"""The data sets by their short names."""
