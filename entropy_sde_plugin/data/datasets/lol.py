"""LOL: pairs of short and normal exposures (v1, v2-real and VE-LOL captured, v2-synthetic made)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from entropy_sde_plugin.data.datasets.base import PairDataset
from entropy_sde_plugin.data.options import PairOptions, options_of
from entropy_sde_plugin.data.public_datasets import DATASETS
from entropy_sde_plugin.data.sources import match_pairs, open_source

__all__ = ['LOLDataset', 'LOLOptions']

_LAYOUTS = {
    'v1': DATASETS['lolv1'],
    'v2-real': DATASETS['lolv2_real'],
    'v2-synthetic': DATASETS['lolv2_syn'],
    've-lol': DATASETS['velol'],
}

if TYPE_CHECKING:
    Version = str
else:  # type checkers cannot read the names from the table
    Version = Literal[tuple(_LAYOUTS)]


class LOLOptions(PairOptions, kw_only=True, frozen=True):
    """Options of ``LOLDataset``."""

    version: Version
    """The test set of v2-real contains training images of v1, and VE-LOL may share some: never evaluate one version's
    weights on the other."""
    dataroot: str
    """Folder of the unpacked archive, or of the databases that ``entropy-sde prepare`` wrote; databases are
    preferred."""


class LOLDataset(PairDataset):
    """The training split in the phase ``train``, the test split in ``val`` and ``test``; see ``PairDataset``.

    Args:
        opt: Section of the option file; see ``LOLOptions``.

    Raises:
        InputError: Wrong option, split not found in ``dataroot``, or an error of ``PairDataset``.

    Example:
        With the unpacked archive, or the databases of ``entropy-sde prepare lolv1``, in ``datasets/LOLv1``:

        >>> dataset = LOLDataset({'name': 'LOLv1', 'phase': 'val', 'version': 'v1', 'dataroot': 'datasets/LOLv1'})
        >>> sample = dataset[0]
        >>> sample['lq'].shape == sample['gt'].shape, sample['lq'].mean() < sample['gt'].mean()
        (True, tensor(True))
    """

    Options = LOLOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(LOLOptions, opt)
        layout = _LAYOUTS[options.version]
        dark, bright = layout.find(options.dataroot, 'train' if options.phase == 'train' else 'test', options.backend)
        assert bright is not None  # every split of LOL has ground truth
        lq, gt = open_source(dark, option='dataroot'), open_source(bright, option='dataroot')
        super().__init__(opt, options, lq, gt, match_pairs(lq, gt, layout.lq_name))
