"""Classical methods to brighten a photograph, as baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle

from entropy_sde_plugin.data.images import RGBImage

__all__ = ['BASELINES', 'RETINEX']


def dark_input(image: RGBImage) -> RGBImage:
    """Return the image unchanged."""
    return image


def gamma_correction(image: RGBImage, gamma: float = 2.2) -> RGBImage:
    """(x / 255)^(1 / gamma), the usual correction."""
    table = np.rint(255 * (np.arange(256) / 255) ** (1 / gamma)).astype(np.uint8)
    return table[image]


def histogram_equalisation(image: RGBImage) -> RGBImage:
    """Global equalisation of the luma (Y of YCrCb)."""
    luma, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    return _as_image(cv2.cvtColor(cv2.merge([cv2.equalizeHist(luma), red, blue]), cv2.COLOR_YCrCb2RGB))


def clahe(image: RGBImage, clip_limit: float = 4.0, tiles: int = 8) -> RGBImage:
    """Contrast-limited adaptive equalisation of the lightness (L of CIELAB), ``tiles`` x ``tiles`` tiles."""
    lightness, a, b = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    equalise = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    return _as_image(cv2.cvtColor(cv2.merge([equalise.apply(lightness), a, b]), cv2.COLOR_LAB2RGB))


def gain(image: RGBImage, mean: float = 0.45) -> RGBImage:
    """Multiply by one factor so that the mean becomes ``mean`` of full scale, that of a typical photograph."""
    factor = mean * 255 / max(float(image.mean()), 1e-3)
    return np.clip(np.rint(image * factor), 0, 255).astype(np.uint8)


def gain_and_denoise(image: RGBImage) -> RGBImage:
    """The same gain, then non-local means, with a strength for noise amplified tenfold."""
    return _as_image(cv2.fastNlMeansDenoisingColored(gain(image), None, 20, 20, 7, 21))


def msrcr(image: RGBImage, sigmas: tuple[float, ...] = (15, 80, 250), clipped: float = 1.0) -> RGBImage:
    """Multiscale retinex with colour restoration (Jobson et al. 1997) as Petro et al. (IPOL 2014) give it.

    The logarithm of each channel against its surround at three scales, weighted by the channel's share of the colour;
    then each channel is stretched to full scale with ``clipped`` percent lost at either end.
    """
    bright = image.astype(np.float32) + 1
    surrounds = [cv2.GaussianBlur(bright, (0, 0), sigma) for sigma in sigmas]
    retinex = np.log(bright) - np.mean([np.log(surround) for surround in surrounds], axis=0)
    restored = retinex * np.log(125 * bright / bright.sum(axis=2, keepdims=True))
    low, high = np.percentile(restored, (clipped, 100 - clipped), axis=(0, 1))
    return _as_image(np.rint(255 * np.clip((restored - low) / np.maximum(high - low, 1e-6), 0, 1)))


def lime(image: RGBImage, gamma: float = 0.8, weight: float = 0.1) -> RGBImage:
    """Division by the illumination (LIME, Guo et al. 2017, eq. 3 and 18): the brightest channel, made piecewise smooth.

    The smoothing is scikit-image's total variation; LIME's own also weights the gradients.
    """
    bright = image.astype(np.float32) / 255
    illumination = denoise_tv_chambolle(bright.max(axis=2), weight=weight)
    lit = bright / np.maximum(illumination, 1e-2)[..., None] ** gamma
    return _as_image(np.rint(255 * np.clip(lit, 0, 1)))


def _as_image(array: NDArray[Any]) -> RGBImage:
    return np.asarray(array, dtype=np.uint8)


BASELINES: dict[str, Callable[[RGBImage], RGBImage]] = {
    'dark input': dark_input,
    'gamma 2.2': gamma_correction,
    'histogram equalisation': histogram_equalisation,
    'CLAHE': clahe,
    'gain to mean 0.45': gain,
    'gain + non-local means': gain_and_denoise,
}
"""Name in the tables -> function from an RGB uint8 image (H, W, 3) to one of the same shape."""

RETINEX: dict[str, Callable[[RGBImage], RGBImage]] = {'MSRCR': msrcr, 'LIME, total variation': lime}
"""The same for the classical methods that estimate the illumination; slow, and none of them the strongest."""
