"""SID, "See in the Dark" (Chen et al., CVPR 2018): short and long exposures of a Sony camera."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from entropy_sde_plugin.data.datasets.raw_pairs import RawFilePair, RawFilePairs, RawPairsOptions, raw_files
from entropy_sde_plugin.data.options import options_of
from entropy_sde_plugin.diffusion.exposure import RELEASED_RANGE
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import AtLeastOne, Positive

__all__ = ['SIDDataset', 'SIDOptions']

_LARGEST_RATIO = 300
_NAME = re.compile(r'(?P<scene>\d{5})_.*?(?P<seconds>\d+(\.\d+)?)s$')
_SPLITS = {'train': '0', 'test': '1', 'val': '2'}
"""What the scenes' numbers begin with."""


class SIDOptions(RawPairsOptions, kw_only=True, frozen=True):
    """Options of ``SIDDataset``."""

    dataroot: str
    """Folder with ``short`` and ``long``."""
    pair_list: str | None = None
    """Text file of the pairs, a short and a long file a line; by default the scenes of the phase (numbers that begin
    with 0 in training, 2 in validation, 1 in a test), each short exposure with the first long one."""
    ratio: AtLeastOne | None = None
    """Use only the pairs of this exposure ratio, 100, 250 or 300; all by default."""
    white: float | None = 16383.0
    """White level in ADU, as released; ``~`` for each file's own."""
    value_range: Positive | None = RELEASED_RANGE
    """White less black level in ADU, by which photons are counted, as released; ``~`` for each file's own."""


class SIDDataset(RawFilePairs):
    """Pairs of SID; ratios follow from the exposure times in the files' names, at most 300. See ``RawFilePairs``.

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

    Options: ClassVar = SIDOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(SIDOptions, opt)
        root = Path(options.dataroot)
        found = _listed(root, Path(options.pair_list)) if options.pair_list else _paired(root, options.phase)
        pairs = [
            RawFilePair(short.stem, short, long, min(_seconds(long) / _seconds(short), _LARGEST_RATIO))
            for short, long in found
        ]
        if options.ratio is not None:
            pairs = [pair for pair in pairs if round(pair.ratio) == options.ratio]
        super().__init__(opt, options, pairs)


def _listed(root: Path, pair_list: Path) -> list[tuple[Path, Path]]:
    """The files that a list names, wherever its paths begin."""
    try:
        lines = [line.split() for line in pair_list.read_text(encoding='utf-8').splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"'pair_list': {pair_list} cannot be read: {error.strerror}.", option='pair_list') from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if len(line) < 2:
            message = f'{pair_list}, line {number}: a short and a long file are expected.'
            raise InputError(message, option='pair_list')
        short, long = (root / kind / Path(name).name for kind, name in zip(('short', 'long'), line, strict=False))
        for path in (short, long):
            if not path.is_file():
                raise InputError(f'{pair_list}, line {number}: {path} is missing.', option='pair_list')
        pairs.append((short, long))
    return pairs


def _paired(root: Path, phase: str) -> list[tuple[Path, Path]]:
    longs: dict[str, Path] = {}
    for path in raw_files(root / 'long', 'dataroot').values():
        longs.setdefault(_parsed(path)['scene'], path)
    pairs = []
    for short in raw_files(root / 'short', 'dataroot').values():
        scene = _parsed(short)['scene']
        if scene.startswith(_SPLITS[phase]):
            if scene not in longs:
                raise InputError(f'{short} has no long exposure of its scene in {root / "long"}.', option='dataroot')
            pairs.append((short, longs[scene]))
    return pairs


def _seconds(path: Path) -> float:
    return float(_parsed(path)['seconds'])


def _parsed(path: Path) -> re.Match[str]:
    match = _NAME.match(path.stem)
    if match is None:
        raise InputError(f'{path}: names of SID are like 10003_00_0.1s.ARW, with scene and seconds.', option='dataroot')
    return match
