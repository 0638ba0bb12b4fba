"""Fixes for metrics and degradations: under current OpenCV and SciPy, and NIQE on small images."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import basicsr.data.degradations
import basicsr.metrics.niqe
import cv2
import numpy as np
import scipy.linalg
from basicsr.utils.registry import METRIC_REGISTRY

from entropy_sde_plugin.compat.patching import is_ours, replace
from entropy_sde_plugin.errors import MetricUnavailableError

__all__ = ['patch_fid', 'patch_jpeg_quality', 'patch_niqe']


def patch_jpeg_quality() -> None:
    """Hand OpenCV a whole number as JPEG quality.

    P data/degradations.py:745 (M fixed), OpenCV 5. Symptom: ``Can't parse 'params'`` from
    ``random_add_jpg_compression``.
    """
    original = basicsr.data.degradations.add_jpg_compression
    try:
        original(np.zeros((8, 8, 3), np.float32), 90.0)
    except (cv2.error, TypeError):

        def add_jpg_compression(img: Any, quality: float = 90) -> Any:
            return original(img, int(quality))

        replace(original, add_jpg_compression)


def patch_fid() -> None:
    """Compute FID without ``scipy.linalg.sqrtm(…, disp=False)``.

    P+M metrics/fid.py:73, SciPy ≥ 1.18. Symptom: ``sqrtm() got an unexpected keyword argument 'disp'``.
    """
    if 'disp' in inspect.signature(scipy.linalg.sqrtm).parameters:
        return
    import basicsr.metrics.fid

    def sqrtm(matrix: Any, disp: bool = True) -> Any:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, np.nan)

    basicsr.metrics.fid.linalg = SimpleNamespace(sqrtm=sqrtm)


NIQE_BLOCK = 96


def patch_niqe() -> None:
    """Say what NIQE needs.

    P+M metrics/niqe.py:94. Symptom: ``SVD did not converge`` on an image of fewer than two blocks of 96 x 96 pixels,
    since it fits a covariance over the blocks; and on one that is flat, whose blocks have no statistics.
    """
    original = basicsr.metrics.niqe.calculate_niqe
    if is_ours(original):
        return

    def calculate_niqe(img: Any, crop_border: int, input_order: str = 'HWC', *args: Any, **kwargs: Any) -> Any:
        height, width = _size(img, input_order)
        blocks = [(side - 2 * crop_border) // NIQE_BLOCK for side in (height, width)]
        if blocks[0] * blocks[1] < 2:
            raise MetricUnavailableError(
                f'NIQE needs two blocks of {NIQE_BLOCK}x{NIQE_BLOCK} pixels, more than an image of {width}x{height} '
                f'has with crop_border {crop_border}: leave NIQE out of the metrics.'
            )
        try:
            return original(img, crop_border, input_order, *args, **kwargs)
        except np.linalg.LinAlgError:
            raise MetricUnavailableError('NIQE needs two blocks with structure, and the image is flat.') from None

    replace(original, calculate_niqe)
    METRIC_REGISTRY._obj_map['calculate_niqe'] = calculate_niqe


def _size(img: Any, input_order: str) -> tuple[int, ...]:
    """Height and width of an image, of two or three axes."""
    shape = np.shape(img)
    return shape[1:] if len(shape) == 3 and input_order == 'CHW' else shape[:2]
