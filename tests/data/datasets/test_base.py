"""Pairs as samples: what every dataset of pairs hands out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from entropy_sde_plugin.data.datasets.paired import PairedLowLightDataset
from tests.support.hostile import materials


def test_crops_of_one_pixel_are_pixels_of_the_pictures(tmp_path):
    """Mirrored, an image of one pixel has a negative stride, and NumPy takes it for contiguous."""
    materials.write_folders(tmp_path)
    roots = {f'dataroot_{kind}': str(tmp_path / kind) for kind in ('lq', 'gt')}
    dataset = PairedLowLightDataset({'phase': 'train', 'gt_size': 1, 'resize_prob': 0, 'seed': 3, **roots})
    for index in range(len(materials.NAMES)):
        item = dataset[index]
        name = Path(item['gt_path']).stem
        pixel = (item['gt'] * 255).round().to(torch.uint8)
        assert pixel.shape == (3, 1, 1)
        assert (materials.picture(name) == np.asarray(pixel.flatten())).all(axis=2).any()
