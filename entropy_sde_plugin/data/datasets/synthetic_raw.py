"""Raw pairs made while training: bright photographs turned back into raw images, and their short exposures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import torch
from torch.utils.data import Dataset

from entropy_sde_plugin.data import augmentation
from entropy_sde_plugin.data.datasets.base import ImageCache, check_crops
from entropy_sde_plugin.data.options import Pictures, Probability, TrainingCrops, options_of
from entropy_sde_plugin.data.raw_noise import CAMERAS, NoiseModel, camera, draw_parameters
from entropy_sde_plugin.data.raw_noise.cameras import CameraName, Gain
from entropy_sde_plugin.data.sample_seeds import generator, key_of
from entropy_sde_plugin.data.sources import open_source
from entropy_sde_plugin.data.synthesis import Range
from entropy_sde_plugin.data.unprocessing import camera_from_srgb, unprocessed
from entropy_sde_plugin.errors import InputError

__all__ = ['SyntheticRawDataset', 'SyntheticRawOptions']

_RED_GAINS = (1.9, 2.4)
_BLUE_GAINS = (1.5, 1.9)
"""White balance of photographs in daylight (Brooks et al., CVPR 2019)."""


class SyntheticRawOptions(TrainingCrops, kw_only=True, frozen=True):
    """Options of ``SyntheticRawDataset``; ``gt_size`` counts values of a plane, two pixels of a photograph each."""

    pictures: ClassVar[Pictures] = 'raw'

    dataroot_gt: str
    """Folder or database of the bright photographs."""
    noise: str = 'P+G+r+u'
    """The noise model by its letters: P or p photons, g or G read noise, r rows, u quantisation."""
    cameras: Annotated[tuple[CameraName, ...], msgspec.Meta(min_length=1)] = CAMERAS
    """Calibrated cameras to draw from."""
    gain: Gain = 'released'
    """Range of the gain: 0.1 to 30 ADU per photon for every camera (``released``), or the camera's own
    (``per_camera``)."""
    ratio: Range = (20.0, 300.0)
    """Exposure of the truth over that of the input, [low, high], drawn uniformly."""
    keep_negative: bool = False
    """Keep values below black in the inputs, whose noise then averages to 0; the release clips them."""
    random_scale_prob: Probability = 0.8
    """Probability of a crop of random side, from twice ``gt_size`` to the photograph's short side, reduced to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        NoiseModel(self.noise)
        low, high = self.ratio
        if not 1 < low <= high < math.inf:
            raise InputError(f"'ratio' must be [low, high] with 1 < low <= high, but is {[low, high]}.", option='ratio')

    @property
    def smallest_side(self) -> int:
        return 2 * self.crop_size if self.phase == 'train' else 2


class SyntheticRawDataset(Dataset[dict[str, Any]]):
    """Raw pictures made of bright photographs, and their short exposures.

    An item holds

    - ``lq`` and ``gt``: float32 tensors (4, H, W), planes R, G, B, G in [0, 1]; the input times the ratio, clipped;
    - ``ratio``; ``gain``, K in ADU per photon; ``value_range``, white less black level in ADU;
    - ``white_balance``, (4,), and ``matrix``, (3, 3), from the camera's colours to linear sRGB: to develop it;
    - ``lq_path``, ``gt_path`` and ``key``, and in training ``draw``, as in ``PairDataset``.

    Validation takes whole photographs, the same exposures every time.

    Args:
        opt: Section of the option file; see ``SyntheticRawOptions``.

    Raises:
        InputError: A bad option, an unreadable photograph, or one too small for the crops.

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
        self.gt = open_source(self.options.dataroot_gt, self.options.backend, option='dataroot_gt')
        self._noise = NoiseModel(self.options.noise)
        self._cache = ImageCache(self.options.cache)
        check_crops(self.gt, self.gt.names, self.options.smallest_side)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every image's planes, without decoding it."""
        return ((height // 2, width // 2) for height, width in map(self.gt.size, self.gt.names))

    def __len__(self) -> int:
        return len(self.gt.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, options = self.gt.names[index], self.options
        rng = generator(options.seed, index)
        bright = self._cropped(self._cache.image(self.gt, name), rng)
        taken_by: CameraName = options.cameras[int(rng.integers(len(options.cameras)))]
        matrix, red_gain, blue_gain = camera_from_srgb(taken_by), rng.uniform(*_RED_GAINS), rng.uniform(*_BLUE_GAINS)
        clean = unprocessed(bright, matrix, red_gain, blue_gain)
        exposure = draw_parameters([camera(taken_by)], rng, gain=options.gain, ratio=options.ratio)
        item: dict[str, Any] = {
            'lq': torch.from_numpy(self._noise(clean, exposure, rng).clip(None if options.keep_negative else 0, 1)),
            'gt': torch.from_numpy(clean),
            'ratio': torch.tensor(exposure.ratio),
            'gain': torch.tensor(exposure.gain),
            'value_range': torch.tensor(exposure.value_range),
            'white_balance': torch.tensor([red_gain, 1.0, blue_gain, 1.0]),
            'matrix': torch.from_numpy(np.linalg.inv(matrix)).float(),
            'key': name,
            'lq_path': self.gt.where(name),
            'gt_path': self.gt.where(name),
        }
        if options.phase == 'train':
            item['draw'] = torch.tensor(key_of(index))
        return item

    def _cropped(self, bright: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """In training a random part, turned before its noise is made, since rows are rows of the sensor."""
        if self.options.phase != 'train':
            height, width = (side // 2 * 2 for side in bright.shape[:2])
            return bright[:height, :width]
        size = 2 * self.options.crop_size
        scaled = rng.random() < self.options.random_scale_prob
        side = int(rng.integers(size, min(bright.shape[:2]) + 1)) if scaled else size
        crops = augmentation.crop([bright], rng, side=side, size=size)
        use_hflip, use_rot = self.options.use_hflip, self.options.use_rot
        return augmentation.flip_and_rotate(crops, rng, use_hflip=use_hflip, use_rot=use_rot)[0]
