"""NTIRE 2024 low-light enhancement: training pairs, and inputs whose ground truth is not public."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from entropy_sde_plugin.data.datasets.base import PairDataset
from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.options import PairOptions, options_of
from entropy_sde_plugin.data.public_datasets import DATASETS
from entropy_sde_plugin.data.sources import ImageSource, Pair, match_pairs, open_source
from entropy_sde_plugin.utils.schema import AtLeastOne

__all__ = ['NTIRELowLightDataset', 'NTIRELowLightOptions']


class NTIRELowLightOptions(PairOptions, kw_only=True, frozen=True):
    """Options of ``NTIRELowLightDataset``."""

    dataroot: str
    """Folder with ``train/{input,target}``, ``val/input`` and ``test/input``, or with the databases that
    ``entropy-sde prepare ntire24`` wrote."""
    downscale: AtLeastOne = 1
    """Integer factor by which images are downscaled when loaded, by averaging areas. The paper uses 2 for the 4K images
    and upscales the results bicubically. Ground truth of validation and test keeps its size."""

    @property
    def has_truth(self) -> bool:
        return DATASETS['ntire24'].find(self.dataroot, self.phase, self.backend)[1] is not None


class NTIRELowLightDataset(PairDataset):
    """The split named by the phase; see ``PairDataset``.

    Items of validation and test have no ``gt`` if there is no ground truth. They hold ``full_size``, the tensor
    [height, width] of the input before ``downscale``: the size to which a result is upscaled.

    Args:
        opt: Section of the option file; see ``NTIRELowLightOptions``.

    Raises:
        InputError: Wrong option, split not found in ``dataroot``, or an error of ``PairDataset``.

    Example:
        With the unpacked archive in ``datasets/NTIRE24``, read at half its size:

        >>> opt = {'name': 'NTIRE24', 'phase': 'val', 'dataroot': 'datasets/NTIRE24', 'downscale': 2}
        >>> sample = NTIRELowLightDataset(opt)[0]
        >>> (2 * torch.tensor(sample['lq'].shape[-2:]) == sample['full_size']).all()
        tensor(True)
    """

    Options = NTIRELowLightOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        self.options: NTIRELowLightOptions = options_of(NTIRELowLightOptions, opt)
        layout = DATASETS['ntire24']
        dark, bright = layout.find(self.options.dataroot, self.options.phase, self.options.backend)
        lq = open_source(dark, option='dataroot')
        if bright is None:
            super().__init__(opt, self.options, lq, None, [Pair(name, None) for name in lq.names])
        else:
            gt = open_source(bright, option='dataroot')
            super().__init__(opt, self.options, lq, gt, match_pairs(lq, gt, layout.lq_name))

    @property
    def shrink(self) -> int:
        """Factor by which ``load`` downscales images in training."""
        return self.options.downscale

    def load(self, source: ImageSource, name: str) -> RGBImage:
        """Return one image, downscaled by ``downscale`` if it is an input or a training image."""
        picture = super().load(source, name)
        factor = self.options.downscale
        if factor == 1 or (source is self.gt and self.options.phase != 'train'):
            return picture
        height, width = picture.shape[:2]
        size = max(1, width // factor), max(1, height // factor)
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        if self.options.phase != 'train':
            item['full_size'] = torch.tensor(self.lq.size(self.pairs[index].lq))
        return item
