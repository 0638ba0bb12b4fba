"""ELD, "Extreme Low-light Denoising" (Wei et al., CVPR 2020): ten scenes, taken by four cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from entropy_sde_plugin.data.datasets.raw_pairs import (
    RawFilePair,
    RawFilePairs,
    RawPairsOptions,
    exposure_ratio,
    raw_files,
)
from entropy_sde_plugin.data.options import options_of
from entropy_sde_plugin.diffusion.exposure import RELEASED_RANGE
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import Positive

__all__ = ['ELDDataset', 'ELDOptions']

_INPUTS = {100: (4, 9, 14), 200: (5, 10, 15)}
_REFERENCES = (1, 6, 11, 16)


class ELDOptions(RawPairsOptions, kw_only=True, frozen=True):
    """Options of ``ELDDataset``."""

    dataroot: str
    """Folder of one camera, with ``scene-1`` to ``scene-10``."""
    ratio: Literal[100, 200]
    """Exposure ratio of the pairs to use."""
    white: float | None = 16383.0
    """White level in ADU, as released; ``~`` for each file's own."""
    value_range: Positive | None = RELEASED_RANGE
    """White less black level in ADU, by which photons are counted, as released; ``~`` for each file's own."""


class ELDDataset(RawFilePairs):
    """Inputs of ELD of one ratio, each with the reference taken next to it; see ``RawFilePairs``.

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

    Options: ClassVar = ELDOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(ELDOptions, opt)
        scenes = sorted(Path(options.dataroot).glob('scene-*'), key=lambda scene: (len(scene.name), scene.name))
        if not scenes:
            raise InputError(f"'dataroot': {options.dataroot} holds no folder scene-1, scene-2, …", option='dataroot')
        super().__init__(opt, options, [pair for scene in scenes for pair in _pairs(scene, options.ratio)])


def _pairs(scene: Path, ratio: int) -> list[RawFilePair]:
    files = raw_files(scene, 'dataroot')
    pairs = []
    for number in _INPUTS[ratio]:
        reference = min(_REFERENCES, key=lambda each: abs(each - number))
        names = [f'IMG_{each:04d}' for each in (number, reference)]
        for name in names:
            if name not in files:
                raise InputError(f'{scene / name} is missing, with the suffix of a raw file.', option='dataroot')
        short, long = (files[name] for name in names)
        released = int(exposure_ratio(short, long) * (1 + 1e-6))  # LibRaw's exposure times are rounded to float32
        pairs.append(RawFilePair(f'{scene.name}_{names[0]}', short, long, released))
    return pairs
