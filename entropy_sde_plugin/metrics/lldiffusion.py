"""PSNR and SSIM as LLDiffusion's release computes them: other 8-bit values and another window than BasicSR's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.metrics.protocol import InputOrder, check_ssim_window, crop, ignore_better, takes_unrounded

__all__ = ['calculate_psnr_lldiffusion', 'calculate_ssim_lldiffusion']

_WINDOW = 7
_GREY = np.array([0.2989, 0.587, 0.114], np.float32)


@takes_unrounded
@ignore_better
def calculate_psnr_lldiffusion(
    img: NDArray[Any],
    img2: NDArray[Any],
    crop_border: int = 0,
    input_order: InputOrder = 'HWC',
    gt_mean: bool = False,
) -> float:
    """PSNR in dB as LLDiffusion's release computes it.

    Protocol: RGB; an image in [0, 1] becomes floor(255.999 x), before any rounding; scikit-image's PSNR over all
    channels, range 255. Validation hands over the sampler's image as it is. Oracle in the tests: values of the
    released code.

    Args:
        img: Result: BGR, uint8 or floating in [0, 1], shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.
        gt_mean: Multiply each channel of the result by mean of the truth over mean of the result first, clipped.

    Raises:
        InputError: Not two colour images of the same shape.
    """
    from skimage.metrics import peak_signal_noise_ratio

    result, truth = _pair(img, img2, crop_border, input_order, gt_mean)
    with np.errstate(divide='ignore'):  # infinite where both are equal
        return float(peak_signal_noise_ratio(_levels(truth), _levels(result), data_range=255))


@takes_unrounded
@ignore_better
def calculate_ssim_lldiffusion(
    img: NDArray[Any],
    img2: NDArray[Any],
    crop_border: int = 0,
    input_order: InputOrder = 'HWC',
    gt_mean: bool = False,
    grey: bool = False,
) -> float:
    """SSIM as LLDiffusion's release computes it.

    Protocol: 8-bit values as for :func:`calculate_psnr_lldiffusion`; scikit-image's SSIM, uniform window of 7, sample
    covariance, mean over the channels. Oracle in the tests: values of the released code.

    Args:
        img: Result: BGR, uint8 or floating in [0, 1], shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.
        gt_mean: Multiply each channel of the result by mean of the truth over mean of the result first, clipped.
        grey: Compare 0.2989 R + 0.587 G + 0.114 B, truncated to 8 bits where the image has 8 bits.

    Raises:
        MetricUnavailableError: A side is shorter than the window.
        InputError: Not two colour images of the same shape.
    """
    from skimage.metrics import structural_similarity

    result, truth = _pair(img, img2, crop_border, input_order, gt_mean)
    check_ssim_window(*truth.shape[:2], window=_WINDOW)
    if grey:
        result, truth = (_grey(picture, of.dtype) for picture, of in ((result, img), (truth, img2)))
    value: Any = structural_similarity(_levels(truth), _levels(result), data_range=255, channel_axis=2)
    return float(value)


def _pair(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int, input_order: InputOrder, gt_mean: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Result and truth, (H, W, 3), RGB, float32 in [0, 1]."""
    result, truth = (_unit(picture, crop_border, input_order) for picture in (img, img2))
    if result.shape != truth.shape:
        raise InputError(f'A metric compares images of the same shape, not {img.shape} and {img2.shape}.')
    if gt_mean:
        means = result.mean((0, 1))
        factors = truth.mean((0, 1)) / np.where(means > 0, means, 1)  # a black channel stays black
        result = np.clip(result * factors, 0, 1)
    return result, truth


def _unit(img: NDArray[Any], crop_border: int, input_order: InputOrder) -> NDArray[np.float32]:
    full_scale = np.float32(255 if img.dtype == np.uint8 else 1)
    return (crop(img, crop_border, input_order) / full_scale).astype(np.float32)


def _grey(picture: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    grey = (picture @ _GREY)[..., None]
    return np.floor(grey * 255) / np.float32(255) if dtype == np.uint8 else grey


def _levels(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """floor(255.999 x), as torchvision turns floats into bytes; level k of 255 stays k."""
    return (picture * np.float32(255.999)).astype(np.uint8)
