"""SID, "See in the Dark" (Chen et al., CVPR 2018): short and long exposures of a Sony camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from entropy_sde_plugin.data.datasets.raw_pairs import RawPairs, ReleasedLevelsOptions, open_databases
from entropy_sde_plugin.data.options import options_of
from entropy_sde_plugin.data.raw_archives import SID
from entropy_sde_plugin.data.raw_files import sid_pairs
from entropy_sde_plugin.data.raw_pairs import RawPair, file_pairs
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import AtLeastOne

__all__ = ['SIDDataset', 'SIDOptions']


class SIDOptions(ReleasedLevelsOptions, kw_only=True, frozen=True):
    """Options of ``SIDDataset``."""

    dataroot: str
    """Folder with ``short`` and ``long``. Training takes the databases of ``entropy-sde prepare sid`` in it, if they
    are there."""
    pair_list: str | None = None
    """Text file of the pairs, a short and a long file a line; by default the first takes of the phase's scenes
    (numbers that begin with 0 in training, 2 in validation, 1 in a test)."""
    ratio: AtLeastOne | None = None
    """Use only the pairs of this exposure ratio, 100, 250 or 300; all by default."""
    camera: str | None = 'SonyA7S2'
    """Calibrated camera whose gain follows from the ISO: a name, or a file of ``entropy-sde calibrate``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend == 'lmdb' and not self.has_databases:
            message = "'io_backend' must be of type disk: databases hold the training split alone, without 'pair_list'."
            raise InputError(message, option='io_backend')

    @property
    def has_databases(self) -> bool:
        """Whether ``entropy-sde prepare sid`` writes databases of these pairs."""
        return self.phase == 'train' and self.pair_list is None


class SIDDataset(RawPairs):
    """Pairs of SID; ratios follow from the exposure times in the files' names, at most 300. See ``RawPairs``.

    Args:
        opt: Section of the option file; see ``SIDOptions``.

    Raises:
        InputError: A bad option, or a file that is missing or has another name than SID's.

    Example:
        With ``short/10003_00_0.1s.ARW`` and ``long/10003_00_10s.ARW`` (or DNG files so named) in ``datasets/SID``:

        >>> dataset = SIDDataset({'name': 'SID', 'phase': 'test', 'dataroot': 'datasets/SID', 'ratio': 100})
        >>> dataset.pairs[0].name, dataset.pairs[0].ratio
        ('10003_00_0.1s', 100.0)
    """

    Options: ClassVar[type[SIDOptions]] = SIDOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(SIDOptions, opt)
        pairs = _pairs(options)
        if options.ratio is not None:
            pairs = [pair for pair in pairs if round(pair.ratio) == options.ratio]
        super().__init__(opt, options, pairs)


def _pairs(options: SIDOptions) -> list[RawPair]:
    root = Path(options.dataroot)
    if options.has_databases:
        databases = SID.find(root, 'train', options.backend)
        if databases is not None:
            return open_databases(options, *databases)
    pair_list = None if options.pair_list is None else Path(options.pair_list)
    return file_pairs(sid_pairs(root, options.phase, pair_list), **options.reading)
