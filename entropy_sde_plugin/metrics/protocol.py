"""The form in which BasicSR calls a metric: uint8 BGR images and the options of its section."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.errors import InputError, MetricUnavailableError

__all__ = [
    'InputOrder',
    'channels_last',
    'check_ssim_window',
    'crop',
    'ignore_better',
    'inner',
    'rgb_pair',
    'takes_planes',
    'takes_unrounded',
]

InputOrder = Literal['HWC', 'CHW']
Metric = TypeVar('Metric', bound=Callable[..., float])


def ignore_better(metric: Metric) -> Metric:
    """Let a metric accept the option ``better`` and ignore it.

    BasicSR's validator passes a metric its whole section of ``val.metrics``. ``better`` tells BasicSR which value is
    best and is not meant for the metric.
    """

    @functools.wraps(metric)
    def wrapper(*images: Any, better: str | None = None, **options: Any) -> float:
        return metric(*images, **options)

    return wrapper  # type: ignore[return-value]


SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window in pixels."""


def check_ssim_window(height: int, width: int, window: int = SSIM_WINDOW) -> None:
    """Check that SSIM's window fits into an image; otherwise BasicSR's SSIM would be NaN.

    Raises:
        MetricUnavailableError: It does not fit.
    """
    if min(height, width) < window:
        raise MetricUnavailableError(f'SSIM needs images of at least {window}x{window} pixels, not {width}x{height}.')


def takes_unrounded(metric: Metric) -> Metric:
    """Mark a metric that validation gives the restored image as floats in [0, 1], before it is rounded to 8 bits."""
    metric.takes_unrounded = True  # pyright: ignore[reportFunctionMemberAccess]
    return metric


def takes_planes(metric: Metric) -> Metric:
    """Mark a metric that validation gives raw planes in place of pictures: floats, (H, W, 4), restored and true."""
    metric.takes_planes = True  # pyright: ignore[reportFunctionMemberAccess]
    return metric


def rgb_pair(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int, input_order: InputOrder
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Prepare two images as BasicSR passes them to metrics.

    Args:
        img: BGR, uint8, of shape (H, W, 3) or, with ``input_order`` CHW, (3, H, W).
        img2: Likewise.
        crop_border: Pixels to cut off at each side.
        input_order: HWC or CHW.

    Returns:
        Both in RGB, uint8, of shape (H - 2 crop_border, W - 2 crop_border, 3).

    Raises:
        InputError: Wrong type, different shapes, or nothing left after the crop.
    """
    if img.shape != img2.shape:
        raise InputError(f'A metric compares images of the same shape, not {img.shape} and {img2.shape}.')
    return _rgb(img, crop_border, input_order), _rgb(img2, crop_border, input_order)


def _rgb(img: NDArray[Any], crop_border: int, input_order: InputOrder) -> NDArray[np.uint8]:
    if img.dtype != np.uint8:
        raise InputError(f'A metric needs 8-bit images, not {img.dtype}.')
    return crop(img, crop_border, input_order)


def crop(img: NDArray[Any], crop_border: int, input_order: InputOrder) -> NDArray[Any]:
    """Return one image as ``rgb_pair`` does, of any type.

    Raises:
        InputError: It does not have three channels, the order is unknown, or nothing is left after the crop.
    """
    picture = channels_last(img, input_order)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f'A metric needs colour images, not one of shape {img.shape}.')
    return inner(picture, crop_border)[..., ::-1]


def channels_last(img: NDArray[Any], input_order: InputOrder) -> NDArray[Any]:
    """Return an image as (H, W, C); one of another number of axes as it is.

    Raises:
        InputError: The order is unknown.
    """
    if input_order not in ('HWC', 'CHW'):
        raise InputError(f"input_order '{input_order}' of a metric must be HWC or CHW.")
    return img.transpose(1, 2, 0) if input_order == 'CHW' and img.ndim == 3 else img


def inner(picture: NDArray[Any], crop_border: int) -> NDArray[Any]:
    """Return an image (H, W, C) without ``crop_border`` pixels at each side.

    Raises:
        InputError: Nothing is left.
    """
    height, width = picture.shape[:2]
    if not 0 <= crop_border < min(height, width) / 2:
        raise InputError(
            f'crop_border {crop_border} of a metric leaves nothing of an image of {width}x{height} pixels: lower it.'
        )
    return picture[crop_border : height - crop_border, crop_border : width - crop_border]
