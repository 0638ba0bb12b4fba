"""Pairs of raw files: a short exposure and a long one of the same scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from entropy_sde_plugin.data.options import Pictures, TrainingCrops, options_of
from entropy_sde_plugin.data.raw import RAW_SUFFIXES
from entropy_sde_plugin.data.raw_frame import RawFrame, RawMetadata, planes_size, read_frame, read_metadata
from entropy_sde_plugin.data.raw_noise import camera
from entropy_sde_plugin.data.raw_noise.cameras import CameraName
from entropy_sde_plugin.data.sample_seeds import generator, key_of
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import AtLeastOne, Positive

__all__ = [
    'RawFilePair',
    'RawFilePairs',
    'RawPairDataset',
    'RawPairOptions',
    'RawPairsOptions',
    'exposure_ratio',
    'raw_files',
]

Ratio = Annotated[float, msgspec.Meta(gt=1)]


class RawPairsOptions(TrainingCrops, kw_only=True, frozen=True):
    """Options of every data set of pairs of raw files; ``gt_size`` counts values of a plane."""

    pictures: ClassVar[Pictures] = 'raw'

    white: Positive | None = None
    """White level in ADU; each file's own by default. The released ExposureDiffusion takes 16383."""
    keep_negative: bool = False
    """Keep values below black in the inputs, whose noise then averages to 0; the release clips them."""
    camera: CameraName = 'SonyA7S2'
    """Calibrated camera whose gain follows from the ISO."""
    gain: Positive | None = None
    """Gain K of all inputs, ADU per photon, in place of that of the ISO."""
    value_range: Positive | None = None
    """White less black level in ADU, by which photons are counted; each file's own by default."""
    centre_crop: AtLeastOne | None = None
    """Side of the square of each plane that validation and test cut from the centre; the whole frame by default."""


@dataclass(frozen=True)
class RawFilePair:
    """Two files of a scene.

    Attributes:
        name: Of the pair.
        short: The short exposure.
        long: The long one.
        ratio: Exposure of the long over that of the short one, above 1.
    """

    name: str
    short: Path
    long: Path
    ratio: float


class RawFilePairs(Dataset[dict[str, Any]]):
    """Pairs of raw files; items as those of ``SyntheticRawDataset``, cut and turned together in training.

    Args:
        opt: The option section itself; BasicSR's models read the dataset's name from it.
        options: The same, checked.
        pairs: The files.

    Raises:
        InputError: There is no pair.
    """

    def __init__(self, opt: dict[str, Any], options: RawPairsOptions, pairs: Sequence[RawFilePair]) -> None:
        self.opt = opt
        self.options = options
        self.pairs = tuple(pairs)
        self._kept: dict[Path, RawFrame] = {}
        if not self.pairs:
            raise InputError(f"Dataset '{options.name}' holds no pairs of raw files.")

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every image's planes to be restored, without decoding it."""
        side = self.options.centre_crop
        for pair in self.pairs:
            height, width = planes_size(pair.short)
            yield (height, width) if side is None else (min(side, height), min(side, width))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair, options = self.pairs[index], self.options
        short, long = self._frame(pair.short), self._frame(pair.long)
        if short.planes.shape != long.planes.shape:
            raise InputError(f'{pair.short} and {pair.long} differ in size: {short.planes.shape}, {long.planes.shape}.')
        bright = (short.planes * np.float32(pair.ratio)).clip(None if options.keep_negative else 0, 1)
        planes = [bright, long.planes.clip(0, 1)]
        if options.phase == 'train':
            planes = self._augmented(planes, pair, generator(options.seed, index))
        lq, gt = (torch.from_numpy(np.ascontiguousarray(self._cut(each))) for each in planes)
        item: dict[str, Any] = {
            'lq': lq,
            'gt': gt,
            'ratio': torch.tensor(pair.ratio),
            'gain': torch.tensor(self._gain(short.metadata, pair.short)),
            'value_range': torch.tensor(options.value_range or short.white - fmean(short.black)),
            'white_balance': torch.from_numpy(long.metadata.white_balance),
            'matrix': torch.from_numpy(long.metadata.matrix),
            'key': pair.name,
            'lq_path': str(pair.short),
            'gt_path': str(pair.long),
        }
        if options.phase == 'train':
            item['draw'] = torch.tensor(key_of(index))
        return item

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_kept': {}}

    def _frame(self, path: Path) -> RawFrame:
        if path in self._kept:
            return self._kept[path]
        frame = read_frame(path, white=self.options.white, keep_negative=self.options.keep_negative)
        if self.options.cache:
            self._kept[path] = frame
        return frame

    def _gain(self, metadata: RawMetadata, path: Path) -> float:
        if self.options.gain is not None:
            return self.options.gain
        if metadata.iso is None:
            raise InputError(f"{path} does not tell its ISO: give the gain K as 'gain'.", option='gain')
        return camera(self.options.camera).gain_at(metadata.iso)

    def _cut(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        side = self.options.centre_crop
        if side is None or self.options.phase == 'train':
            return planes
        top, left = (max(0, length // 2 - side // 2) for length in planes.shape[1:])
        return planes[:, top : top + side, left : left + side]

    def _augmented(
        self, planes: list[NDArray[np.float32]], pair: RawFilePair, rng: np.random.Generator
    ) -> list[NDArray[np.float32]]:
        """The same random square of both, mirrored and transposed plane by plane, as the release does."""
        size, (height, width) = self.options.crop_size, planes[0].shape[1:]
        if min(height, width) < size:
            message = f'{pair.short}: crops of {size} (gt_size) do not fit into planes of {width}x{height}.'
            raise InputError(message, option='gt_size')
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        planes = [each[:, top : top + size, left : left + size] for each in planes]
        mirror, flip, transpose = rng.random(3) < 0.5
        if self.options.use_hflip and mirror:
            planes = [each[:, :, ::-1] for each in planes]
        if self.options.use_rot and flip:
            planes = [each[:, ::-1] for each in planes]
        if self.options.use_rot and transpose:
            planes = [each.transpose(0, 2, 1) for each in planes]
        return planes


class RawPairOptions(RawPairsOptions, kw_only=True, frozen=True):
    """Options of ``RawPairDataset``."""

    dataroot_lq: str
    """Folder of the short exposures."""
    dataroot_gt: str
    """Folder of the long exposures, of the same names."""
    ratio: Ratio | None = None
    """Exposure of the long over that of the short frames; by default from the exposure times and ISO of the files."""


class RawPairDataset(RawFilePairs):
    """Anyone's pairs of raw files; see ``RawFilePairs``.

    Args:
        opt: Section of the option file; see ``RawPairOptions``.

    Raises:
        InputError: A bad option, a missing or unreadable file, or a file that does not tell its exposure.

    Example:
        With DNG files of the same names in both folders:

        >>> roots = {'dataroot_lq': 'datasets/raw/short', 'dataroot_gt': 'datasets/raw/long'}
        >>> round(float(RawPairDataset({'name': 'own', 'phase': 'val', **roots})[0]['ratio']))
        100
    """

    Options: ClassVar = RawPairOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(RawPairOptions, opt)
        shorts, longs = raw_files(options.dataroot_lq, 'dataroot_lq'), raw_files(options.dataroot_gt, 'dataroot_gt')
        missing = sorted(shorts.keys() ^ longs.keys())
        if missing:
            raise InputError(f"'{missing[0]}' has no partner of its name in the other folder.", option='dataroot_gt')
        pairs = [
            RawFilePair(name, short, longs[name], options.ratio or exposure_ratio(short, longs[name]))
            for name, short in shorts.items()
        ]
        super().__init__(opt, options, pairs)


def raw_files(folder: str | Path, option: str) -> dict[str, Path]:
    """Return the raw files of a folder by their names without suffix, sorted.

    Raises:
        InputError: There is no such folder, or no raw file in it.
    """
    place = Path(folder)
    files = {path.stem: path for path in sorted(place.glob('*')) if path.suffix.lower() in RAW_SUFFIXES}
    if not files:
        raise InputError(f"'{option}': {place} holds no raw files.", option=option)
    return files


def exposure_ratio(short: Path, long: Path) -> float:
    """Return ISO times exposure time of the long file over that of the short one.

    Raises:
        InputError: A file does not say both, or the ratio is not above 1.
    """
    exposures = []
    for path in (short, long):
        metadata = read_metadata(path)
        if metadata.iso is None or metadata.exposure_time is None:
            raise InputError(f"{path} does not tell its ISO and exposure time: give 'ratio'.", option='ratio')
        exposures.append(metadata.iso * metadata.exposure_time)
    ratio = exposures[1] / exposures[0]
    if ratio <= 1:
        raise InputError(f'{long} is not exposed longer than {short}: the ratio is {ratio:g}.', option='ratio')
    return ratio
