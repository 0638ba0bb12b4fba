"""ELD, "Extreme Low-light Denoising" (Wei et al., CVPR 2020): ten scenes, taken by several cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from entropy_sde_plugin.data.datasets.raw_pairs import RawPairs, ReleasedLevelsOptions, open_databases
from entropy_sde_plugin.data.options import options_of
from entropy_sde_plugin.data.raw_archives import ELD
from entropy_sde_plugin.data.raw_files import eld_pairs, is_eld_input
from entropy_sde_plugin.data.raw_noise import CAMERAS
from entropy_sde_plugin.data.raw_pairs import file_pairs

__all__ = ['ELDDataset', 'ELDOptions']


class ELDOptions(ReleasedLevelsOptions, kw_only=True, frozen=True):
    """Options of ``ELDDataset``."""

    dataroot: str
    """Folder of one camera, with ``scene-1`` to ``scene-10``. The databases of ``entropy-sde prepare eld`` beside it
    are taken, if they are there."""
    ratio: Literal[100, 200]
    """Exposure ratio of the pairs to use."""
    camera: str | None = None
    """Calibrated camera whose gain follows from the ISO: a name, or a file of ``entropy-sde calibrate``; by default
    that of the folder's name."""

    @property
    def calibrated(self) -> str | None:
        folder = Path(self.dataroot).name
        return folder if self.camera is None and folder in CAMERAS else self.camera


class ELDDataset(RawPairs):
    """Inputs of ELD of one ratio, each with the reference taken next to it; see ``RawPairs``.

    The ratio is ISO times exposure time of the two files, cut to a whole number.

    Args:
        opt: Section of the option file; see ``ELDOptions``.

    Raises:
        InputError: A bad option, or a missing file.

    Example:
        With ELD, or DNG files of its names, in ``datasets/ELD``:

        >>> opt = {'name': 'ELD', 'phase': 'test', 'dataroot': 'datasets/ELD/SonyA7S2', 'ratio': 100}
        >>> ELDDataset(opt).pairs[0].name
        'scene-1_IMG_0004'
    """

    Options: ClassVar[type[ELDOptions]] = ELDOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(ELDOptions, opt)
        root = Path(options.dataroot)
        databases = ELD.find(root.parent, root.name, options.backend)
        if databases is None:
            pairs = file_pairs(eld_pairs(root, options.ratio), **options.reading)
        else:
            pairs = [pair for pair in open_databases(options, *databases) if is_eld_input(pair.name, options.ratio)]
        super().__init__(opt, options, pairs)
