"""Raw files in folders, alone and as pairs of a short and a long exposure: SID, ELD and one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entropy_sde_plugin.data.folders import files_below, listed, name_below
from entropy_sde_plugin.data.raw import is_raw
from entropy_sde_plugin.data.raw_frame import read_metadata
from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.utils.distributed import warn
from entropy_sde_plugin.utils.paths import not_a_file, read_text

__all__ = ['ELD_RATIOS', 'RawFilePair', 'eld_pairs', 'exposure_ratio', 'is_eld_input', 'raw_files', 'sid_pairs']


@dataclass(frozen=True)
class RawFilePair:
    """Two files of a scene.

    Attributes:
        name: Name of the pair.
        short: The short exposure.
        long: The long one.
        ratio: Exposure of the long over that of the short one, above 1.
    """

    name: str
    short: Path
    long: Path
    ratio: float


def raw_files(folder: str | Path, option: str = '') -> dict[str, Path]:
    """Return the raw files of a folder and its subfolders, by their paths in it without suffix, sorted.

    Bytes of a path that are not UTF-8 are escaped in its name, as in ``ImageFolder``. Other files are ignored, with a
    warning.

    Args:
        folder: The folder.
        option: The option that names it, for errors.

    Raises:
        InputError: There is no such folder, no raw file in it, or two of one name.
    """
    place, named = Path(folder), f"'{option}': " if option else ''
    try:
        images, others = files_below(place)
    except (OSError, ValueError):  # the latter of a zero byte
        raise InputError(f'{named}{place} is not a folder that can be read.', option=option) from None
    files: dict[str, Path] = {}
    for path in images:
        if not is_raw(path):
            others.append(path)
        elif (other := files.setdefault(name_below(path, place), path)) is not path:
            raise InputError(f'{named}{other} and {path.name} share a name; rename or remove one.', option=option)
    if not files:
        raise InputError(f'{named}{place} holds no raw files.', option=option)
    if others:
        warn(f'ignored in {place} (not raw files): {listed([path.relative_to(place) for path in others])}')
    return dict(sorted(files.items()))


def exposure_ratio(short: Path, long: Path) -> float:
    """Return ISO times exposure time of the long file over that of the short one.

    Raises:
        InputError: A file does not say both, or the ratio is not above 1.
    """
    exposures = []
    for path in (short, long):
        metadata = read_metadata(path)
        if metadata.iso is None or metadata.exposure_time is None:
            raise InputError(f"{path} does not state its ISO and exposure time: give 'ratio'.", option='ratio')
        exposures.append(metadata.iso * metadata.exposure_time)
    ratio = exposures[1] / exposures[0]
    if ratio <= 1:
        raise InputError(f'{long} is not exposed longer than {short}: the ratio is {ratio:g}.', option='ratio')
    return ratio


def _check_present(files: Sequence[Path], where: str) -> None:
    """Check that files are there.

    Raises:
        InputError: One line that names those that are not.
    """
    missing = [path for path in dict.fromkeys(files) if not_a_file(path)]
    if missing:
        raise InputError(f'{where}: missing {listed(missing)}; unpack the archive again.', option='dataroot')


# --- SID --------------------------------------------------------------------------------------------------------------

_SID_NAME = re.compile(r'(?P<scene>\d{5})_(?P<take>\d\d)_(?P<seconds>\d+(\.\d+)?)s$')
_SID_SPLITS = {'train': '0', 'test': '1', 'val': '2'}
"""What the scenes' numbers begin with."""
_SID_LARGEST_RATIO = 300


def sid_pairs(root: Path, split: str, pair_list: Path | None = None) -> list[RawFilePair]:
    """Return the pairs of one split of SID; ratios follow from the names, at most 300.

    Args:
        root: Folder with ``short`` and ``long``.
        split: ``train``, ``val`` or ``test``.
        pair_list: A list of pairs, a short and a long file a line; only their names count, not their folders. By
            default the first takes (``…_00_…``) of the split's scenes, which are the pairs of the published results.

    Raises:
        InputError: A missing folder, list or file, or a name that is not SID's.
    """
    found = _listed(root, pair_list) if pair_list is not None else _first_takes(root, split)
    return [
        RawFilePair(short.stem, short, long, min(_seconds(long) / _seconds(short), _SID_LARGEST_RATIO))
        for short, long in found
    ]


def _listed(root: Path, pair_list: Path) -> list[tuple[Path, Path]]:
    try:
        lines = [line.split() for line in read_text(pair_list).splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"pair_list '{pair_list}' cannot be read ({error.strerror}).", option='pair_list') from None
    for number, line in enumerate(lines, 1):
        if len(line) < 2:
            message = f'{pair_list}, line {number}: a short and a long file are expected.'
            raise InputError(message, option='pair_list')
    pairs = [(root / 'short' / Path(line[0]).name, root / 'long' / Path(line[1]).name) for line in lines]
    _check_present([path for pair in pairs for path in pair], str(pair_list))
    return pairs


def _first_takes(root: Path, split: str) -> list[tuple[Path, Path]]:
    longs: dict[str, Path] = {}
    for path in raw_files(root / 'long', 'dataroot').values():
        longs.setdefault(_parsed(path)['scene'], path)
    shorts = [
        path
        for path in raw_files(root / 'short', 'dataroot').values()
        if _parsed(path)['scene'].startswith(_SID_SPLITS[split]) and _parsed(path)['take'] == '00'
    ]
    alone = [path for path in shorts if _parsed(path)['scene'] not in longs]
    if alone:
        raise InputError(f'{root / "long"} holds no long exposure for {listed(alone)}.', option='dataroot')
    return [(path, longs[_parsed(path)['scene']]) for path in shorts]


def _seconds(path: Path) -> float:
    return float(_parsed(path)['seconds'])


def _parsed(path: Path) -> re.Match[str]:
    match = _SID_NAME.match(path.stem)
    if match is None:
        raise InputError(f'{path}: names of SID are like 10003_00_0.1s.ARW, with scene and seconds.', option='dataroot')
    return match


# --- ELD --------------------------------------------------------------------------------------------------------------

_ELD_INPUTS = {100: (4, 9, 14), 200: (5, 10, 15)}

ELD_RATIOS = tuple(_ELD_INPUTS)
_ELD_REFERENCES = (1, 6, 11, 16)


def is_eld_input(name: str, ratio: int) -> bool:
    """Whether a pair's name, as ``scene-1_IMG_0004``, is that of an input of a ratio."""
    return int(name[-4:]) in _ELD_INPUTS[ratio]


def eld_pairs(root: Path, ratio: int, scenes: Sequence[str] | None = None) -> list[RawFilePair]:
    """Return the inputs of one ratio of ELD, each with the reference taken next to it.

    The ratio is ISO times exposure time of the two files, cut to a whole number.

    Args:
        root: Folder of one camera, with ``scene-1``, ``scene-2``, …
        ratio: One of :data:`ELD_RATIOS`.
        scenes: The scenes; by default those that are there.

    Raises:
        InputError: There are no scenes, ``root`` cannot be read, a file is missing or does not state its exposure.
    """
    if scenes is None:
        try:
            scenes = sorted((scene.name for scene in root.glob('scene-*')), key=lambda name: (len(name), name))
        except OSError as error:  # a name too long, no permission
            raise InputError(f"'{root}' cannot be read ({error.strerror}).", option='dataroot') from None
    if not scenes:
        raise InputError(f"'dataroot': {root} holds no folder scene-1, scene-2, …", option='dataroot')
    pairs = [pair for scene in scenes for pair in _eld_scene(root / scene, ratio)]
    _check_present([path for _, *files in pairs for path in files], str(root))
    return [
        # LibRaw's exposure times are rounded to float32.
        RawFilePair(name, short, long, int(exposure_ratio(short, long) * (1 + 1e-6)))
        for name, short, long in pairs
    ]


def _eld_scene(scene: Path, ratio: int) -> list[tuple[str, Path, Path]]:
    """Names and files of a scene's pairs; a missing file has no suffix."""
    files = {path.stem: path for path in scene.glob('IMG_*') if is_raw(path)}
    found = []
    for number in _ELD_INPUTS[ratio]:
        reference = min(_ELD_REFERENCES, key=lambda each: abs(each - number))
        short, long = (f'IMG_{each:04d}' for each in (number, reference))
        found.append((printable(f'{scene.name}_{short}'), *(files.get(name, scene / name) for name in (short, long))))
    return found
