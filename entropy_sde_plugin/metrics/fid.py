"""FID, a distance between two sets of images: features of each image, then one distance."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from entropy_sde_plugin.errors import InputError, MetricUnavailableError
from entropy_sde_plugin.metrics.backbones import as_batch, evaluation_device, fetch, inference
from entropy_sde_plugin.metrics.protocol import InputOrder, ignore_better, rgb_pair

__all__ = ['FrechetInceptionDistance', 'calculate_fid', 'frechet_distance']

Features = NDArray[np.float64]
_logger = logging.getLogger('basicsr')


class FrechetInceptionDistance:
    """FID (Heusel et al., NeurIPS 2017, eq. 6) between results and ground truths. Lower is better.

    Protocol: RGB, the whole image less ``crop_border``, resized to 299 x 299 (bilinear, not antialiased) and scaled
    to [-1, 1] as in pytorch-fid; pool features of its Inception (TensorFlow's weights of 2015-12-05) in float32,
    statistics in float64. Under ``RELIABLE`` images the covariance does not have full rank and the value is only
    indicative. Oracles in the tests: BasicSR's formula over ``scipy.linalg.sqrtm``, and closed forms.

    Args:
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.

    Example:
        >>> distance = FrechetInceptionDistance()
        >>> for level in (50, 100, 150):
        ...     image = np.full((64, 64, 3), level, np.uint8)
        ...     distance.update(image, image)
        >>> abs(distance.compute()) < 1e-6
        True
    """

    RELIABLE = 2048

    def __init__(self, crop_border: int = 0, input_order: InputOrder = 'HWC') -> None:
        self._crop_border = crop_border
        self._input_order: InputOrder = input_order
        self._features: list[tuple[Features, Features]] = []

    def update(self, img: NDArray[Any], img2: NDArray[Any]) -> None:
        """Add a result and its ground truth: BGR, uint8, shape (H, W, 3), or (3, H, W) with CHW.

        Raises:
            MetricUnavailableError: Inception's weights are not available.
            InputError: Not two images of one shape.
        """
        first, second = rgb_pair(img, img2, self._crop_border, self._input_order)
        self._features.append((_pool_features(first), _pool_features(second)))

    def compute(self) -> float:
        """Return the distance between the two sets; under ``RELIABLE`` images, with a warning in BasicSR's log.

        Raises:
            MetricUnavailableError: Fewer than two images.
        """
        count = len(self._features)
        if count < 2:
            raise MetricUnavailableError(f'FID needs at least two images, not {count}.')
        if count < self.RELIABLE:
            _logger.warning('FID over %d images is only indicative: it needs %d.', count, self.RELIABLE)
        first, second = (np.stack(side) for side in zip(*self._features, strict=True))
        return frechet_distance(first, second)


@ignore_better
def calculate_fid(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """FID as an entry of ``val.metrics``: names the options; the validation loop uses ``calculate_fid.set_metric``.

    Args:
        img: Result: BGR, uint8, shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.

    Raises:
        InputError: Always. BasicSR's own loop calls a metric for each image, and FID has no value for one.
    """
    raise InputError('calculate_fid compares sets, not two images: it needs the validation of a model of this package.')


calculate_fid.set_metric = FrechetInceptionDistance  # type: ignore[attr-defined]


def frechet_distance(first: Features, second: Features) -> float:
    """Distance between the Gaussians fitted to two sets: |mu1 - mu2|² + Tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    With C = RᵀR the last trace is the nuclear norm of R1 R2ᵀ. Unlike a matrix root of the product this is
    valid for rank-deficient covariances, and cheap for few images.

    Args:
        first: A row for each image, shape (N, D), N ≥ 2.
        second: Shape (M, D), M ≥ 2.
    """
    roots = [np.linalg.qr(rows - rows.mean(0), mode='r') / np.sqrt(len(rows) - 1) for rows in (first, second)]
    shift = first.mean(0) - second.mean(0)
    cross = np.linalg.norm(roots[0] @ roots[1].T, 'nuc')
    return float(shift @ shift + sum(np.sum(root**2) for root in roots) - 2 * cross)


def _pool_features(picture: NDArray[np.uint8]) -> Features:
    with inference():
        return _inception(evaluation_device())(as_batch(picture))[0].flatten().cpu().double().numpy()


@functools.cache
def _inception(device: torch.device) -> nn.Module:
    from basicsr.archs import inception

    if not Path(inception.LOCAL_FID_WEIGHTS).exists():  # BasicSR's own folder, before torch's cache
        fetch(inception.FID_WEIGHTS_URL)
    with torch.random.fork_rng(devices=[]):
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    return network.to(device).eval()
