"""Calibration of one's own camera from raw files: what ``entropy-sde calibrate`` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.folders import listed
from entropy_sde_plugin.data.raw_frame import RawFrame, read_frame, read_metadata
from entropy_sde_plugin.data.raw_noise.calibration import (
    DarkNoise,
    ISONoise,
    TransferPoint,
    dark_noise,
    fitted_camera,
    photon_transfer,
    system_gain,
)
from entropy_sde_plugin.data.raw_noise.cameras import RawCamera
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['calibrate']

_PAIR_SIDE = 512
"""Side of the centre of each plane in which pairs of frames are compared: there a flat light is most even."""

_DARK_SIDE = 1024
"""Side for the noise of a dark frame: the longer its rows, the less their means have of the pixels' noise."""

_EQUAL_LIGHT = 0.03
"""Two flat frames are of one exposure if their means differ by no more, relatively."""

_CLIPPED = 0.01
"""Share of a plane's pixels at its extreme value from which the frame is clipped there."""

Planes = NDArray[np.floating]
Progress = Callable[[Sequence[Path]], Iterable[Path]]


class _Centre(NamedTuple):
    """The centre of a frame: planes (4, H, W) in ADU above black, and their mean."""

    path: Path
    planes: Planes
    mean: float


def calibrate(
    flats: Sequence[Path],
    darks: Sequence[Path],
    *,
    iso: float | None = None,
    progress: Progress = lambda paths: paths,
) -> tuple[RawCamera, list[ISONoise]]:
    """Calibrate a camera.

    Args:
        flats: Raw files of an even, steady light, at each ISO at least two of one exposure.
        darks: Raw files with the lens capped, at each ISO at least two.
        iso: ISO of files that do not state it.
        progress: Called with all files; returns an iterable over them.

    Returns:
        The camera, and what was measured at each ISO.

    Raises:
        InputError: Too few frames, frames that differ in size or levels, clipped or unsteady ones; one line for each
            fault.
    """
    isos = _isos(flats, darks, iso)
    frames = _Frames()
    groups = _read(frames, isos, frozenset(flats), progress([*flats, *darks]))
    measured = _measured(groups)
    camera_from_srgb = np.linalg.inv(frames.first.metadata.matrix.astype(np.float64))
    return fitted_camera(measured, camera_from_srgb, frames.first.value_range), measured


def _isos(flats: Sequence[Path], darks: Sequence[Path], given: float | None) -> Mapping[Path, float]:
    """Return the ISO of every file.

    Raises:
        InputError: A file does not state its ISO or is given twice, or there are fewer than two of a kind at an ISO.
    """
    problems = Problems()
    isos: dict[Path, float] = {}
    for path in (*flats, *darks):
        with problems.collect():
            iso = read_metadata(path).iso or given
            if iso is None:
                raise InputError(f'{path} does not state its ISO: give it with --iso.', option='iso')
            if path in isos:
                raise InputError(f'{path} is given twice: a frame is either flat or dark.')
            isos[path] = iso
    problems.raise_any()
    for iso in sorted(set(isos.values())):
        for kind, paths in (('flat', flats), ('dark', darks)):
            count = sum(isos[path] == iso for path in paths)
            if count < 2:
                problems.add(f'ISO {iso:g}: there are {count} {kind} frames; take two at least.')
    problems.raise_any()
    return isos


class _Frames:
    """Reads frames of one camera.

    Attributes:
        first: The first frame.
    """

    first: RawFrame
    _first_path: Path | None = None

    def read(self, path: Path) -> RawFrame:
        """Read a frame, values below black too.

        Raises:
            InputError: It differs from the first one in size or levels, or is not a readable raw file.
        """
        frame = read_frame(path, keep_negative=True)
        if self._first_path is None:
            self.first, self._first_path = frame, path
        mine, others = ((each.planes.shape, each.black, each.white) for each in (frame, self.first))
        if mine != others:
            raise InputError(f'{path} and {self._first_path} differ in size, black or white level.')
        return frame


@dataclass
class _Group:
    """What is kept of the frames of one ISO."""

    flats: list[_Centre] = field(default_factory=list)
    darks: list[_Centre] = field(default_factory=list)
    noises: list[DarkNoise] = field(default_factory=list)

    def add_flat(self, path: Path, frame: RawFrame) -> None:
        """Add a flat frame.

        Raises:
            InputError: It is overexposed.
        """
        self.flats.append(_unclipped(path, frame, is_flat=True))

    def add_dark(self, path: Path, frame: RawFrame) -> None:
        """Add a dark frame, and measure its noise.

        Raises:
            InputError: It is clipped at black, or its noise cannot be measured.
        """
        self.darks.append(_unclipped(path, frame, is_flat=False))
        self.noises.append(_dark_noise(path, _centre(frame, _DARK_SIDE)))


def _read(
    frames: _Frames, isos: Mapping[Path, float], flats: Collection[Path], paths: Iterable[Path]
) -> dict[float, _Group]:
    """Read all frames, check each by itself and group them by their ISO.

    Args:
        frames: Reads them.
        isos: Their ISO values.
        flats: The flat ones; the others are dark.
        paths: All of them.

    Raises:
        InputError: One line for each frame that is unreadable, clipped, or differs in size or levels.
    """
    groups: dict[float, _Group] = {iso: _Group() for iso in isos.values()}
    problems = Problems()
    for path in paths:
        with problems.collect():
            group, frame = groups[isos[path]], frames.read(path)
            if path in flats:
                group.add_flat(path, frame)
            else:
                group.add_dark(path, frame)
    problems.raise_any()
    return groups


def _measured(groups: Mapping[float, _Group]) -> list[ISONoise]:
    """Measure gain and noise at each ISO, the lowest first.

    Raises:
        InputError: One line for each ISO at which the gain cannot be measured.
    """
    problems = Problems()
    measured = []
    for iso, group in sorted(groups.items(), key=itemgetter(0)):
        with problems.collect():
            measured.append(ISONoise(iso, _gain(iso, group.flats, group.darks), group.noises))
    problems.raise_any()
    return measured


def _centre(frame: RawFrame, side: int) -> Planes:
    """The centre of a frame in ADU above black."""
    height, width = frame.planes.shape[1:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    scale = np.array([frame.white - black for black in frame.black], np.float32)
    return frame.planes[:, top : top + side, left : left + side] * scale[:, None, None]


def _unclipped(path: Path, frame: RawFrame, *, is_flat: bool) -> _Centre:
    """Return the centre of a frame whose values do not heap up at an end.

    Raises:
        InputError: They do, at the greatest value of a flat frame or at the least of a dark one.
    """
    planes = _centre(frame, _PAIR_SIDE)
    # A hot pixel may lie above the values at which all others end.
    greatest = np.quantile(planes, 0.999, axis=(1, 2), keepdims=True, method='lower')
    at_end = planes >= greatest if is_flat else planes <= planes.min((1, 2), keepdims=True)
    share = float(at_end.mean((1, 2)).max())
    if share > _CLIPPED:
        end, advice = ('greatest', 'expose it shorter') if is_flat else ('least', 'the camera clips its noise at black')
        raise InputError(f'{path}: {share:.0%} of the pixels of a colour have the {end} value: {advice}.')
    return _Centre(path, planes, float(planes.mean()))


def _dark_noise(path: Path, planes: Planes) -> DarkNoise:
    try:
        return dark_noise(planes)
    except InputError as error:
        raise InputError(f'{path}: {error}.') from None


def _gain(iso: float, flats: Sequence[_Centre], darks: Sequence[_Centre]) -> float:
    """The gain of one ISO from all pairs of frames of the same exposure."""
    for one, other in (*combinations(flats, 2), *combinations(darks, 2)):
        if one.mean == other.mean and np.array_equal(one.planes, other.planes):
            raise InputError(f'{one.path} and {other.path} hold the same frame; remove one.')
    ordered = sorted(flats, key=lambda flat: flat.mean)
    pairs = [(one, other) for one, other in pairwise(ordered) if other.mean - one.mean <= _EQUAL_LIGHT * other.mean]
    paired = {flat.path for pair in pairs for flat in pair}
    alone = [flat.path for flat in ordered if flat.path not in paired]
    if alone:
        message = f'no other flat frame is as bright as {listed(alone)}; take two of each exposure, in a steady light.'
        raise InputError(f'ISO {iso:g}: {message}')
    points: list[TransferPoint] = []
    for one, other in (*pairs, *pairwise(darks)):
        points += photon_transfer(one.planes, other.planes)
    try:
        return system_gain(points)
    except InputError as error:
        raise InputError(f'ISO {iso:g}: {error}.') from None
