"""Pairs of raw images: a short exposure and a long one of the same scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from entropy_sde_plugin.data.augmentation import random_square, turn_planes
from entropy_sde_plugin.data.datasets.base import raw_sample
from entropy_sde_plugin.data.options import Pictures, TrainingCrops, check_templates, options_of
from entropy_sde_plugin.data.raw_files import RawFilePair, exposure_ratio, raw_files
from entropy_sde_plugin.data.raw_lmdb import open_planes
from entropy_sde_plugin.data.raw_noise import camera, gain_for
from entropy_sde_plugin.data.raw_packing import RELEASED_WHITE
from entropy_sde_plugin.data.raw_pairs import Frame, RawFile, RawPair, check_sizes, file_pairs, stored_pairs
from entropy_sde_plugin.data.sample_seeds import generator
from entropy_sde_plugin.data.sources import template_pairs
from entropy_sde_plugin.diffusion.exposure import GAINS, LARGEST_RATIO, RELEASED_RANGE
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.problems import Problems
from entropy_sde_plugin.utils.schema import AtLeastOne, Positive

__all__ = ['RawPairDataset', 'RawPairOptions', 'RawPairs', 'RawPairsOptions', 'ReleasedLevelsOptions', 'open_databases']

Ratio = Annotated[float, msgspec.Meta(gt=1, le=LARGEST_RATIO)]
Gain = Annotated[float, msgspec.Meta(ge=GAINS[0], le=GAINS[1])]


class RawPairsOptions(TrainingCrops, kw_only=True, frozen=True):
    """Options of every data set of pairs of raw files; ``gt_size`` counts values of a plane."""

    pictures: ClassVar[Pictures] = 'raw'

    white: Positive | None = None
    """White level in ADU; each file's own by default. The released ExposureDiffusion takes 16383."""
    value_range: Positive | None = None
    """White less black level in ADU, by which photons are counted; each file's own by default. The release takes
    15583."""
    keep_negative: bool = False
    """Keep values below black in the inputs, whose noise then averages to 0; the release clips them."""
    camera: str | None = None
    """Calibrated camera whose gain follows from the ISO: ``CanonEOS5D4``, ``CanonEOS70D``, ``CanonEOS700D``,
    ``NikonD850``, ``SonyA7S2``, or a file of ``entropy-sde calibrate``. Without one the gain is 1, with a warning."""
    gain: Gain | None = None
    """Gain K of all inputs, ADU per photon, in place of that of the ISO."""
    centre_crop: AtLeastOne | None = None
    """Side of the square of each plane that validation and test cut from the centre; the whole frame by default."""

    @property
    def calibrated(self) -> str | None:
        """Name or file of the calibrated camera."""
        return self.camera

    @property
    def reading(self) -> dict[str, Any]:
        """How files are read; arguments of ``raw_pairs.file_pairs``."""
        return {'white': self.white, 'keep_negative': self.keep_negative, 'keep': self.cache}


class ReleasedLevelsOptions(RawPairsOptions, kw_only=True, frozen=True):
    """Options of SID and ELD, which are read at the levels of the released ExposureDiffusion."""

    white: Positive | None = RELEASED_WHITE
    """White level in ADU, as released; ``~`` for each file's own."""
    value_range: Positive | None = RELEASED_RANGE
    """White less black level in ADU, by which photons are counted, as released; ``~`` for each file's own."""


class RawPairs(Dataset[dict[str, Any]]):
    """Pairs of raw images; items as those of ``SyntheticRawDataset``, cut and turned together in training.

    Args:
        opt: The option section itself; BasicSR's models read the dataset's name from it.
        options: The same, checked.
        pairs: The images.

    Raises:
        InputError: There is no pair, or no such camera; planes of a pair differ in size, or are too small for the
            crops; a file holds no Bayer mosaic.

    Example:
        >>> opt = {'name': 'own', 'phase': 'val', 'gain': 2.0, 'centre_crop': 8}
        >>> short, long = (RawFile(Path('datasets/raw', kind, 'a.dng'), keep=False) for kind in ('short', 'long'))
        >>> pairs = RawPairs(opt, options_of(RawPairsOptions, opt), [RawPair('a', short, long, ratio=100.0)])
        >>> len(pairs), pairs[0]['gt'].shape, pairs[0]['ratio']
        (1, torch.Size([4, 8, 8]), tensor(100.))
    """

    def __init__(self, opt: dict[str, Any], options: RawPairsOptions, pairs: Sequence[RawPair]) -> None:
        self.opt = opt
        self.options = options
        self.pairs = tuple(pairs)
        self._camera = None if options.calibrated is None else camera(options.calibrated)
        if not self.pairs:
            raise InputError(f"Dataset '{options.name}' holds no pairs of raw files.")
        _check_sizes(self.pairs, options.smallest_side)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every image's planes to be restored, without decoding it."""
        side = self.options.centre_crop
        for pair in self.pairs:
            height, width = pair.short.size()
            yield (height, width) if side is None else (min(side, height), min(side, width))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair, options = self.pairs[index], self.options
        short, long = pair.short.frame(), None if pair.long is None else pair.long.frame()
        colours = (long or short).metadata
        return raw_sample(
            pair.name,
            self._planes(pair, short, long, generator(options.seed, index)),
            {kind: each.where for kind, each in (('lq', pair.short), ('gt', pair.long)) if each is not None},
            options,
            index,
            ratio=pair.ratio,
            gain=options.gain or gain_for(short.metadata.iso, self._camera),
            value_range=options.value_range or short.value_range,
            white_balance=colours.white_balance,
            matrix=colours.matrix,
        )

    def _planes(
        self, pair: RawPair, short: Frame, long: Frame | None, rng: np.random.Generator
    ) -> dict[str, NDArray[np.float32]]:
        """The part that the sample shows: of the short exposure brightened, in training turned."""
        options = self.options
        window = self._window(short.planes.shape, rng)
        bright = short.planes[window] * np.float32(1 if pair.brightened else pair.ratio)
        planes = {'lq': bright.clip(None if options.keep_negative else 0, 1)}
        if long is not None:
            planes['gt'] = long.planes[window].clip(0, 1)
        if options.phase != 'train':
            return planes
        turned = turn_planes([*planes.values()], rng, use_hflip=options.use_hflip, use_rot=options.use_rot)
        return dict(zip(planes, turned, strict=True))

    def _window(self, shape: Sequence[int], rng: np.random.Generator) -> tuple[slice, slice, slice]:
        """The part of the planes that the sample shows: a random square in training, else the centre."""
        height, width = shape[1:]
        if self.options.phase == 'train':
            return random_square(shape, self.options.crop_size, rng)
        size = self.options.centre_crop or max(height, width)
        top, left = max(0, height // 2 - size // 2), max(0, width // 2 - size // 2)
        return slice(None), slice(top, top + size), slice(left, left + size)


def _check_sizes(pairs: Sequence[RawPair], smallest_side: int) -> None:
    """Check, without decoding them, that the images of each pair have one size, and that crops fit into them."""
    problems = Problems()
    sources = {each.where: each for pair in pairs for each in (pair.short, pair.long) if each is not None}
    for where, source in sources.items():
        with problems.collect():
            height, width = source.size()
            if min(height, width) < smallest_side:
                message = f'{where}: crops of {smallest_side} (gt_size) do not fit into planes of {width}x{height}.'
                raise InputError(message, option='gt_size')
    check_sizes(pairs, problems)
    problems.raise_any()


def open_databases(options: RawPairsOptions, lq: Path, gt: Path) -> list[RawPair]:
    """Return the pairs of databases that ``entropy-sde prepare`` wrote of raw files.

    Raises:
        InputError: The databases cannot be read, or the options want values that they do not hold.
    """
    if options.keep_negative or options.white != RELEASED_WHITE:
        option = 'keep_negative' if options.keep_negative else 'white'
        message = f"'{option}': {lq} holds values of the released levels; read the files, by io_backend of type disk."
        raise InputError(message, option=option)
    return stored_pairs(open_planes(lq, 'dataroot'), open_planes(gt, 'dataroot'))


class RawPairOptions(RawPairsOptions, kw_only=True, frozen=True):
    """Options of ``RawPairDataset``."""

    dataroot_lq: str
    """Folder of the short exposures."""
    dataroot_gt: str | None = None
    """Folder of the long exposures; may be left out in validation and test."""
    filename_tmpl: str = '{}'
    """Template for the name of the short exposure: ``{}`` is the name of the long one without suffix."""
    filename_tmpl_gt: str = '{}'
    """Name of the long exposure where ``{}`` is only the part that partners share."""
    ratio: Ratio | None = None
    """Exposure of the long over that of the short frames; by default from the exposure times and ISO of the files.
    Required without long exposures: how much brighter to make the images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataroot_gt is None and self.phase == 'train':
            raise InputError("'dataroot_gt', the folder of the long exposures, is missing.", option='dataroot_gt')
        if self.dataroot_gt is None and self.ratio is None:
            raise InputError("'ratio' is missing: without long exposures it must be given.", option='ratio')
        if self.backend == 'lmdb':
            raise InputError("'io_backend' must be of type disk: one's own pairs are files.", option='io_backend')
        check_templates(filename_tmpl=self.filename_tmpl, filename_tmpl_gt=self.filename_tmpl_gt)

    @property
    def has_truth(self) -> bool:
        return self.dataroot_gt is not None

    @property
    def reading(self) -> dict[str, Any]:
        return super().reading | {'rggb': True}


class RawPairDataset(RawPairs):
    """A user's own pairs of raw files, or short exposures alone; see ``RawPairs``.

    Items without a long exposure have no ``gt``. The planes of every Bayer pattern lie as those of RGGB, on which
    networks are trained: where red is not in the first row or column of a mosaic, that line is left out.

    Args:
        opt: Section of the option file; see ``RawPairOptions``.

    Raises:
        InputError: A bad option, a missing or unreadable file, or a file that does not state its exposure.

    Example:
        With DNG files of the same names in both folders:

        >>> roots = {'dataroot_lq': 'datasets/raw/short', 'dataroot_gt': 'datasets/raw/long', 'camera': 'SonyA7S2'}
        >>> round(float(RawPairDataset({'name': 'own', 'phase': 'val', **roots})[0]['ratio']))
        100
    """

    Options: ClassVar[type[RawPairOptions]] = RawPairOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(RawPairOptions, opt)
        super().__init__(opt, options, _single_files(options) if options.dataroot_gt is None else _own_pairs(options))


@dataclass
class _RawFolder:
    """The raw files of a folder, a ``NamedSet``.

    Attributes:
        path: The folder.
        option: The option that names it.
        files: By their names.
    """

    path: Path
    option: str
    files: dict[str, Path]

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.files)

    def where(self, name: str) -> str:
        return str(self.files[name])


def _own_pairs(options: RawPairOptions) -> list[RawPair]:
    folders = {option: getattr(options, option) for option in ('dataroot_lq', 'dataroot_gt')}
    shorts, longs = (_RawFolder(Path(path), option, raw_files(path, option)) for option, path in folders.items())
    pairs = template_pairs(shorts, longs, (options.filename_tmpl_gt, options.filename_tmpl))
    files = [(short, shorts.files[short], longs.files[long]) for short, long in pairs if long is not None]
    return file_pairs(
        [RawFilePair(name, short, long, options.ratio or exposure_ratio(short, long)) for name, short, long in files],
        **options.reading,
    )


def _single_files(options: RawPairOptions) -> list[RawPair]:
    assert options.ratio is not None  # by __post_init__
    shorts = raw_files(options.dataroot_lq, 'dataroot_lq')
    return [RawPair(name, RawFile(path, **options.reading), None, options.ratio) for name, path in shorts.items()]
