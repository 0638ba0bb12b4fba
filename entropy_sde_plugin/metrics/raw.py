"""PSNR and SSIM of packed raw planes, as ExposureDiffusion (ICCV 2023) reports them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.metrics.protocol import (
    InputOrder,
    channels_last,
    check_ssim_window,
    ignore_better,
    inner,
    takes_planes,
)

__all__ = ['calculate_psnr_raw', 'calculate_ssim_raw']

_WINDOW = 7


@takes_planes
@ignore_better
def calculate_psnr_raw(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """PSNR in dB of packed raw planes, over all four together.

    Protocol: planes clipped to [0, 1], not rounded, peak 1; ``crop_border`` is cut off first.

    Args:
        img: Result: floating, shape (H, W, 4), or (4, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Values to leave out at each side.
        input_order: HWC or CHW.

    Raises:
        InputError: Not two images of floating planes of one shape.

    Example:
        >>> truth = np.full((8, 8, 4), 0.5)
        >>> round(calculate_psnr_raw(truth + 0.1, truth), 6)
        20.0
    """
    from skimage.metrics import peak_signal_noise_ratio

    result, truth = _planes(img, img2, crop_border, input_order)
    return float(peak_signal_noise_ratio(truth, result, data_range=1))


@takes_planes
@ignore_better
def calculate_ssim_raw(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """SSIM of packed raw planes, mean over the four.

    Protocol: planes as for ``calculate_psnr_raw``; scikit-image's SSIM with a uniform window of 7 and the sample
    covariance, valid positions only.

    Args:
        img: Result: floating, shape (H, W, 4), or (4, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Values to leave out at each side.
        input_order: HWC or CHW.

    Raises:
        MetricUnavailableError: A side is shorter than the window.
        InputError: Not two images of floating planes of one shape.

    Example:
        >>> truth = np.full((8, 8, 4), 0.5)
        >>> round(calculate_ssim_raw(truth, truth), 6)
        1.0
    """
    from skimage.metrics import structural_similarity

    result, truth = _planes(img, img2, crop_border, input_order)
    check_ssim_window(*truth.shape[:2], window=_WINDOW)
    similarity: Any = structural_similarity(truth, result, win_size=_WINDOW, data_range=1, channel_axis=2)
    return float(similarity)


def _planes(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int, input_order: InputOrder
) -> list[NDArray[np.float64]]:
    if img.shape != img2.shape or img.ndim != 3:
        raise InputError(f'A raw metric compares planes of one shape, not {img.shape} and {img2.shape}.')
    if not all(np.issubdtype(planes.dtype, np.floating) for planes in (img, img2)):
        raise InputError(f'A raw metric compares floating planes in [0, 1], not {img.dtype} and {img2.dtype}.')
    pair = [inner(channels_last(planes, input_order), crop_border) for planes in (img, img2)]
    return [planes.astype(np.float64).clip(0, 1) for planes in pair]
