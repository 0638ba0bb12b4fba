"""Pairs synthesised on the fly: bright photographs, darkened differently for every sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Annotated, Any

import msgspec
import numpy as np
from torch.utils.data import Dataset

from entropy_sde_plugin.data import augmentation
from entropy_sde_plugin.data.datasets.base import ImageCache, check_crops, sample
from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.options import Probability, SeveralCrops, check_range, options_of
from entropy_sde_plugin.data.sample_seeds import generator
from entropy_sde_plugin.data.sources import open_source
from entropy_sde_plugin.data.synthesis import CameraRanges, Range

__all__ = ['SyntheticLowLightDataset', 'SyntheticLowLightOptions']

JPEGQuality = Annotated[int, msgspec.Meta(ge=1, le=100)]


class SyntheticLowLightOptions(SeveralCrops, kw_only=True, frozen=True):
    """Options of ``SyntheticLowLightDataset``."""

    dataroot_gt: str
    """Folder or database of the bright photographs."""
    exposure: Range = (0.03, 0.2)
    """Fraction of the light, [low, high], drawn log-uniformly; see ``synthesis.darken``."""
    full_well: Range = CameraRanges.full_well
    """Electrons of a saturated pixel, [low, high], drawn log-uniformly; fewer give more shot noise."""
    read_noise: Range = CameraRanges.read_noise
    """Standard deviation of the read noise in electrons, [low, high]."""
    colour_cast: Annotated[float, msgspec.Meta(ge=0)] = CameraRanges.colour_cast
    """Standard deviation of the logarithm of each channel's gain: the error of the white balance."""
    tone_gamma: Range = CameraRanges.tone_gamma
    """Exponent of the camera's tone curve, [low, high]; that of the ground truth is 2.2."""
    jpeg_prob: Probability = CameraRanges.jpeg_prob
    """Probability that the dark image is compressed as JPEG."""
    jpeg_quality: tuple[JPEGQuality, JPEGQuality] = CameraRanges.jpeg_quality
    """Its quality, [low, high]."""
    srgb_prob: Probability = CameraRanges.srgb_prob
    """Probability of the exact sRGB curve in place of ``tone_gamma``; its linear segment crushes deep shadows."""
    black_level: Range = CameraRanges.black_level
    """Offset that the camera subtracts, [low, high], as a multiple of the dark image's mean linear light."""
    uneven_prob: Probability = CameraRanges.uneven_prob
    """Probability of uneven light: lamps, shade, bright highlights."""
    smoothing_prob: Probability = CameraRanges.smoothing_prob
    """Probability of the camera's noise reduction, which leaves correlated noise."""
    smoothing: Range = CameraRanges.smoothing
    """Its Gaussian's standard deviation in pixels, [low, high]."""
    well_lit_prob: Probability = CameraRanges.well_lit_prob
    """Probability of full exposure, so that the network learns only to denoise such an image."""
    random_scale_prob: Probability = 0.8
    """Probability of a crop of random side, from ``gt_size`` to the image's short side, downscaled to ``gt_size``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('exposure', self.exposure, above=0, most=1)
        check_range('full_well', self.full_well, above=0)
        check_range('tone_gamma', self.tone_gamma, above=0)
        check_range('read_noise', self.read_noise, least=0)
        check_range('jpeg_quality', self.jpeg_quality)
        check_range('black_level', self.black_level, least=0)
        check_range('smoothing', self.smoothing, above=0)

    @property
    def cameras(self) -> CameraRanges:
        """The random camera of the dark images."""
        return CameraRanges(**{field.name: getattr(self, field.name) for field in fields(CameraRanges)})


class SyntheticLowLightDataset(Dataset[dict[str, Any]]):
    """Bright photographs and their dark versions; items as those of ``PairDataset``.

    A training sample is darkened after cropping, downscaling and flipping, so that its noise is that of a full-size
    dark photograph. Validation darkens whole photographs, the same way every time.

    Args:
        opt: Section of the option file; see ``SyntheticLowLightOptions``.

    Raises:
        InputError: Wrong option, or a photograph that is unreadable or too small for the crops.

    Example:
        >>> opt = {'name': 'photographs', 'phase': 'val', 'dataroot_gt': 'datasets/photographs', 'exposure': [0.1, 0.1]}
        >>> sample = SyntheticLowLightDataset(opt | {'seed': 0})[0]
        >>> sample['lq'].mean() < sample['gt'].mean() / 2
        tensor(True)
    """

    Options = SyntheticLowLightOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt  # BasicSR's models read the dataset's name from it
        self.options = options_of(SyntheticLowLightOptions, opt)
        self.gt = open_source(self.options.dataroot_gt, self.options.backend, option='dataroot_gt')
        self._cameras = self.options.cameras
        self._cache = ImageCache(self.options.cache)
        check_crops(self.gt, self.gt.names, self.options.smallest_side)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every photograph, without decoding it."""
        return map(self.gt.size, self.gt.names)

    def __len__(self) -> int:
        return len(self.gt.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        options = self.options
        name = self.gt.names[index]
        rng = generator(options.seed, index)
        photograph = self._cache.image(self.gt, name)
        if options.phase == 'train':  # lazily: each crop is darkened before the next one is drawn
            brights = (self._crop(photograph, rng) for _ in range(options.crops_per_image))
        else:
            brights = (photograph,)
        crops = [{'lq': self._cameras.darkened(bright, rng), 'gt': bright} for bright in brights]
        where = self.gt.where(name)
        return sample(name, crops, {'lq': where, 'gt': where}, options, index)

    def _crop(self, photograph: RGBImage, rng: np.random.Generator) -> RGBImage:
        options = self.options
        return augmentation.random_crop(
            photograph,
            rng,
            size=options.crop_size,
            scale_prob=options.random_scale_prob,
            use_hflip=options.use_hflip,
            use_rot=options.use_rot,
        )
