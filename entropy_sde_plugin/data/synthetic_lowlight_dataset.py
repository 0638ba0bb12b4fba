"""Pairs made while training: bright photographs, darkened anew for every sample."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from basicsr.utils.registry import DATASET_REGISTRY
from torch.utils.data import Dataset

from entropy_sde_plugin.data import augmentation
from entropy_sde_plugin.data.dataset_options import Probability, TrainingCrops
from entropy_sde_plugin.data.draws import generator
from entropy_sde_plugin.data.low_light_synthesis import darken, draw_exposure
from entropy_sde_plugin.data.pair_dataset import ImageCache, check_crops, sample, where_of
from entropy_sde_plugin.data.sources import open_source
from entropy_sde_plugin.schema import parse

__all__ = ['SyntheticLowLightDataset', 'SyntheticLowLightOptions']


class SyntheticLowLightOptions(TrainingCrops, kw_only=True, frozen=True):
    """Options of ``SyntheticLowLightDataset``."""

    dataroot_gt: str
    """Folder or database of the bright photographs."""
    exposure: tuple[float, float] = (0.03, 0.2)
    """Range of the exposure, drawn log-uniformly; see ``low_light_synthesis.darken``."""
    full_well: Annotated[float, msgspec.Meta(gt=0)] = 1500.0
    """Electrons of a saturated pixel; fewer mean more shot noise."""
    read_noise: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    """Standard deviation of the read-out, in electrons."""
    random_scale_prob: Probability = 0.8
    """Probability of a crop of random side, from ``gt_size`` to the image's short side, reduced to ``gt_size``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.exposure
        if not 0 < low <= high <= 1:
            raise ValueError(f"'exposure' must be [low, high] with 0 < low <= high <= 1, but is {[low, high]}.")


@DATASET_REGISTRY.register()
class SyntheticLowLightDataset(Dataset[dict[str, Any]]):
    """Bright photographs and their dark versions; items as those of ``PairDataset``.

    A training sample is cropped, reduced and turned first and darkened last, so that its noise is that of a whole
    dark photograph. Validation darkens whole photographs, the same way every time.

    Args:
        opt: Section of the option file; see ``SyntheticLowLightOptions``.

    Raises:
        InputError: A bad option, an unreadable photograph, or one too small for the crops.
    """

    Options = SyntheticLowLightOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt  # BasicSR's models read the dataset's name from it
        self.options = parse(SyntheticLowLightOptions, opt, where_of(opt))
        self.gt = open_source(self.options.dataroot_gt, self.options.backend)
        self._cache = ImageCache(self.options.cache)
        check_crops(self.gt, self.gt.names, self.options.smallest_side)

    def __len__(self) -> int:
        return len(self.gt.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        options = self.options
        name = self.gt.names[index]
        rng = generator(options.seed, index)
        bright = self._cache.image(self.gt, name)
        if options.phase == 'train':
            size = options.crop_size
            scaled = rng.random() < options.random_scale_prob
            side = int(rng.integers(size, min(bright.shape[:2]) + 1)) if scaled else size
            crops = augmentation.crop([bright], rng, side=side, size=size)
            (bright,) = augmentation.flip_and_rotate(crops, rng, use_hflip=options.use_hflip, use_rot=options.use_rot)
        exposure = draw_exposure(rng, *options.exposure)
        dark = darken(bright, exposure=exposure, rng=rng, full_well=options.full_well, read_noise=options.read_noise)
        where = self.gt.where(name)
        return sample({'lq': dark, 'gt': bright}, {'lq': where, 'gt': where}, options, index)
