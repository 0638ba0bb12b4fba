"""Raw pairs made while training: clean raw images, stored or made of bright photographs, and short exposures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from entropy_sde_plugin.data import augmentation
from entropy_sde_plugin.data.datasets.base import ImageCache, check_crops, raw_sample
from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.options import Pictures, Probability, TrainingCrops, check_range, options_of
from entropy_sde_plugin.data.raw_lmdb import holds_planes, open_planes
from entropy_sde_plugin.data.raw_noise import CAMERAS, NoiseModel, RawCamera, camera, draw_parameters
from entropy_sde_plugin.data.raw_noise.cameras import GainSource
from entropy_sde_plugin.data.sample_seeds import generator
from entropy_sde_plugin.data.sources import open_source
from entropy_sde_plugin.data.synthesis import Range
from entropy_sde_plugin.data.unprocessing import unprocessed
from entropy_sde_plugin.diffusion.exposure import LARGEST_RATIO

__all__ = ['SyntheticRawDataset', 'SyntheticRawOptions']

_RED_GAINS = (1.9, 2.4)
_BLUE_GAINS = (1.5, 1.9)
"""White balance of photographs in daylight (Brooks et al., CVPR 2019)."""


class SyntheticRawOptions(TrainingCrops, kw_only=True, frozen=True):
    """Options of ``SyntheticRawDataset``; ``gt_size`` counts values of a plane, two pixels of a photograph each."""

    pictures: ClassVar[Pictures] = 'raw'

    dataroot_gt: str
    """Folder or database of bright photographs, or database of clean raw planes, as ``entropy-sde prepare sid`` writes
    of the long exposures."""
    noise: str = 'P+G+r+u'
    """The noise model by its letters: P or p photons, g or G read noise, r rows, u quantisation."""
    cameras: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = CAMERAS
    """Calibrated cameras to draw from: these, or files of ``entropy-sde calibrate``."""
    gain: GainSource = 'released'
    """Range of the gain: 0.1 to 30 ADU per photon for every camera (``released``), or the camera's own
    (``per_camera``)."""
    ratio: Range = (20.0, 300.0)
    """Exposure of the truth over that of the input, [low, high], drawn uniformly."""
    keep_negative: bool = False
    """Keep values below black in the inputs, whose noise then averages to 0; the release clips them."""
    random_scale_prob: Probability = 0.8
    """Probability of a crop of random side, from twice ``gt_size`` to the photograph's short side, reduced to it. Raw
    planes are never reduced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        NoiseModel(self.noise)
        check_range('ratio', self.ratio, above=1, most=LARGEST_RATIO)


class CleanRaw(NamedTuple):
    """A raw image without noise.

    Attributes:
        planes: R, G, B, G, float32, (4, H, W), in [0, 1].
        white_balance: Gains of R, G, B, G, (4,).
        matrix: From the camera's colours to linear sRGB, (3, 3).
    """

    planes: NDArray[np.float32]
    white_balance: NDArray[np.floating]
    matrix: NDArray[np.floating]


class _Photographs:
    """Clean raw images made of bright photographs.

    Raises:
        InputError: An unreadable photograph, or one too small for the crops.
    """

    def __init__(self, options: SyntheticRawOptions) -> None:
        self._options = options
        self._source = open_source(options.dataroot_gt, options.backend, option='dataroot_gt')
        self._cache = ImageCache(options.cache)
        self.names = self._source.names
        self.where = self._source.where
        check_crops(self._source, self.names, 2 * options.crop_size if options.phase == 'train' else 2)

    def size(self, name: str) -> tuple[int, int]:
        height, width = self._source.size(name)
        return height // 2, width // 2

    def clean(self, name: str, taken_by: RawCamera, rng: np.random.Generator) -> CleanRaw:
        bright = self._cropped(self._cache.image(self._source, name), rng)
        red_gain, blue_gain = rng.uniform(*_RED_GAINS), rng.uniform(*_BLUE_GAINS)
        matrix = np.array(taken_by.camera_from_srgb)
        planes = unprocessed(bright, matrix, red_gain, blue_gain)
        return CleanRaw(planes, np.array([red_gain, 1, blue_gain, 1]), np.linalg.inv(matrix))

    def _cropped(self, bright: RGBImage, rng: np.random.Generator) -> RGBImage:
        """In training a random part, turned before its noise is made, since rows are rows of the sensor."""
        options = self._options
        if options.phase != 'train':
            height, width = (side // 2 * 2 for side in bright.shape[:2])
            return bright[:height, :width]
        return augmentation.random_crop(
            bright,
            rng,
            size=2 * options.crop_size,
            scale_prob=options.random_scale_prob,
            use_hflip=options.use_hflip,
            use_rot=options.use_rot,
        )


class _StoredImages:
    """Clean raw images of a database.

    Raises:
        InputError: The database cannot be read, or an image is too small for the crops.
    """

    def __init__(self, options: SyntheticRawOptions) -> None:
        self._options = options
        self._reader = open_planes(options.dataroot_gt, 'dataroot_gt')
        self.names = self._reader.names
        self.where = self._reader.where
        self.size = self._reader.size
        check_crops(self._reader, self.names, options.smallest_side)

    def clean(self, name: str, taken_by: RawCamera, rng: np.random.Generator) -> CleanRaw:
        options, frame = self._options, self._reader.frame(name)
        if options.phase == 'train':
            part = frame.planes[augmentation.random_square(frame.planes.shape, options.crop_size, rng)]
            use_hflip, use_rot = options.use_hflip, options.use_rot
            (planes,) = augmentation.turn_planes([part], rng, use_hflip=use_hflip, use_rot=use_rot)
        else:
            planes = frame.planes[:, :, :]
        return CleanRaw(planes, frame.metadata.white_balance, frame.metadata.matrix)


class SyntheticRawDataset(Dataset[dict[str, Any]]):
    """Clean raw images, stored or made of bright photographs, and their short exposures.

    An item holds

    - ``lq`` and ``gt``: float32 tensors (4, H, W), planes R, G, B, G in [0, 1]; the input times the ratio, clipped;
    - ``ratio``, ``gain``: K in ADU per photon, and ``value_range``: white less black level in ADU;
    - ``white_balance``, (4,), and ``matrix``, (3, 3), from the camera's colours to linear sRGB: to develop it;
    - ``lq_path``, ``gt_path`` and ``key``, and in training ``draw``, as in ``PairDataset``.

    Validation takes whole images, the same exposures every time.

    Args:
        opt: Section of the option file; see ``SyntheticRawOptions``.

    Raises:
        InputError: A bad option, an unreadable image, or one too small for the crops.

    Example:
        >>> opt = {'name': 'photographs', 'phase': 'val', 'dataroot_gt': 'datasets/photographs'}
        >>> sample = SyntheticRawDataset(opt)[0]
        >>> sample['lq'].shape == sample['gt'].shape, bool(sample['ratio'] >= 20)
        (True, True)
    """

    Options = SyntheticRawOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt  # BasicSR's models read the dataset's name from it
        self.options = options_of(SyntheticRawOptions, opt)
        self._cameras = [camera(name, 'cameras') for name in self.options.cameras]
        self._noise = NoiseModel(self.options.noise)
        holds_raw = self.options.backend != 'disk' and holds_planes(self.options.dataroot_gt)
        self._truths = (_StoredImages if holds_raw else _Photographs)(self.options)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every image's planes, without decoding it."""
        return map(self._truths.size, self._truths.names)

    def __len__(self) -> int:
        return len(self._truths.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, options = self._truths.names[index], self.options
        rng = generator(options.seed, index)
        taken_by = self._cameras[int(rng.integers(len(self._cameras)))]
        clean = self._truths.clean(name, taken_by, rng)
        exposure = draw_parameters([taken_by], rng, gain=options.gain, ratio=options.ratio)
        noisy = self._noise(clean.planes, exposure, rng).clip(None if options.keep_negative else 0, 1)
        where = self._truths.where(name)
        return raw_sample(
            name,
            {'lq': noisy, 'gt': clean.planes},
            {'lq': where, 'gt': where},
            options,
            index,
            ratio=exposure.ratio,
            gain=exposure.gain,
            value_range=exposure.value_range,
            white_balance=clean.white_balance,
            matrix=clean.matrix,
        )
