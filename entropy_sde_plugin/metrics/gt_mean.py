"""PSNR and SSIM after GT-mean rescaling, which raises them by several dB; hence their own names."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.metrics.protocol import InputOrder, check_ssim_window, ignore_better, rgb_pair

__all__ = ['calculate_psnr_gtmean', 'calculate_ssim_gtmean']


@ignore_better
def calculate_psnr_gtmean(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """PSNR in dB of the result rescaled to the mean gray value of the ground truth. Not the paper's PSNR.

    Protocol: RGB in 0…255; the result times mean gray of the truth over mean gray of the result (BT.601 luma), clipped
    to 0…255, not rounded; then BasicSR's PSNR over all channels. ``crop_border`` is cut off first. Oracle
    in the tests: scikit-image.

    Args:
        img: Result: BGR, uint8, shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.

    Raises:
        InputError: The images differ in shape.
    """
    from basicsr.metrics import calculate_psnr

    return float(calculate_psnr(*_rescaled(img, img2, crop_border, input_order), crop_border=0))


@ignore_better
def calculate_ssim_gtmean(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """SSIM of the result rescaled to the mean gray value of the ground truth. Not the paper's SSIM.

    Protocol: rescaled as for ``calculate_psnr_gtmean``; then BasicSR's SSIM, Gaussian window of 11 with sigma 1.5,
    valid positions only, mean over the channels. Oracle in the tests: scikit-image.

    Args:
        img: Result: BGR, uint8, shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.

    Raises:
        MetricUnavailableError: A side is shorter than the window.
        InputError: The images differ in shape.
    """
    from basicsr.metrics import calculate_ssim

    result, truth = _rescaled(img, img2, crop_border, input_order)
    check_ssim_window(*truth.shape[:2])
    return float(calculate_ssim(result, truth, crop_border=0))


def _rescaled(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int, input_order: InputOrder
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    result, truth = (picture.astype(np.float32) for picture in rgb_pair(img, img2, crop_border, input_order))
    means = [float(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean()) for picture in (result, truth)]
    factor = means[1] / means[0] if means[0] > 0 else 1.0  # a black image stays black
    return np.clip(result * np.float32(factor), 0, 255), truth
