"""Dark photographs from bright ones, by a physical model of a short exposure and of the camera's processing."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ['CameraRanges', 'Range', 'darken', 'linear_to_srgb', 'srgb_to_linear', 'uneven_exposure']

Range = tuple[float, float]
Map = NDArray[np.floating]
SRGB_GAMMA = 2.2


def darken(
    image: NDArray[np.uint8],
    *,
    exposure: float | Map,
    rng: np.random.Generator,
    full_well: float = 1500.0,
    read_noise: float = 3.0,
    colour_gains: float | tuple[float, float, float] = 1.0,
    tone_gamma: float | None = SRGB_GAMMA,
    black_level: float = 0.0,
    smoothing: float = 0.0,
) -> NDArray[np.uint8]:
    """Photograph a scene again with less light.

    ``linear = (image/255)^2.2 * exposure``; ``electrons = Poisson(linear * full_well) + read_noise * N(0, 1)``; these
    are smoothed and lose the black level; the result is ``clip(colour_gains * electrons / full_well, 0,
    1)^(1/tone_gamma)``, rounded to 8 bits.

    Args:
        image: The bright image, uint8 of any shape, sRGB; decoded to linear light by a power law, or by the
            exact sRGB curve if ``tone_gamma`` is None.
        exposure: Fraction of the light, above 0 and at most 1; or one for each pixel, (H, W, 1) (see
            :func:`uneven_exposure`).
        rng: Source of the noise.
        full_well: Electrons of a saturated pixel; fewer give more shot noise.
        read_noise: Standard deviation of the read noise, in electrons.
        colour_gains: Errors of the camera's white balance: factors of the channels' linear light, for images (..., 3).
        tone_gamma: Exponent of the camera's tone curve; larger than sRGB's, it lifts the shadows. None: the exact sRGB
            curve (IEC 61966-2-1), whose linear segment crushes deep shadows.
        black_level: Offset that the camera subtracts, as a multiple of the dark image's mean linear light; 0 for none.
        smoothing: Standard deviation in pixels of a Gaussian over the linear image, noise included: the camera's
            noise reduction, which leaves correlated noise. For images (H, W, 3).

    Returns:
        The dark image, uint8, of the same shape.

    Raises:
        ValueError: ``exposure`` outside (0, 1].
    """
    if not (np.min(exposure) > 0 and np.max(exposure) <= 1):
        raise ValueError(f'exposure must lie in (0, 1], but is {exposure}.')
    levels = np.arange(256) / 255
    light = levels**SRGB_GAMMA if tone_gamma is not None else srgb_to_linear(levels)
    mean_electrons = light[image] * (exposure * full_well)
    electrons = rng.poisson(mean_electrons) + read_noise * rng.standard_normal(image.shape, dtype=np.float32)
    if smoothing > 0:
        electrons = cv2.GaussianBlur(electrons, (0, 0), smoothing)
    if black_level > 0:
        electrons = electrons - black_level * mean_electrons.mean()
    linear = np.asarray(np.clip(electrons / full_well * np.asarray(colour_gains), 0, 1), dtype=np.float64)
    tones = linear ** (1 / tone_gamma) if tone_gamma is not None else linear_to_srgb(linear)
    return np.rint(255 * tones).astype(np.uint8)


def uneven_exposure(bright: NDArray[np.uint8], exposure: float, rng: np.random.Generator) -> Map:
    """Make the exposure uneven: pools of light around lamps, shade next to sunlight, bright windows.

    One or two of three masks are drawn: Gaussian pools of light, a shadow edge, and the image's own highlights. Where
    the mask m is 0 the exposure is ``exposure``; elsewhere it is ``exposure^(1 - strength * m)``.

    Args:
        bright: The bright image, (H, W, 3), uint8.
        exposure: Fraction of the light in the dark parts, in (0, 1].
        rng: Draws the masks.

    Returns:
        Exposure of every pixel, (H, W, 1), from ``exposure`` to 1.
    """
    count = 1 + int(rng.integers(2))
    masks = [_MASKS[i](bright, rng) for i in rng.permutation(len(_MASKS))[:count]]
    return exposure ** (1 - rng.uniform(0.4, 1.0) * np.maximum.reduce(masks))[..., None]


def _pools_of_light(bright: NDArray[np.uint8], rng: np.random.Generator) -> Map:
    y, x = _coordinates(bright)
    pools = np.zeros(bright.shape[:2])
    for _ in range(1 + int(rng.integers(3))):
        top, left = rng.uniform(-0.5, 0.5, 2)
        distance2 = (y - top) ** 2 + (x - left) ** 2
        pools = np.maximum(pools, np.exp(-distance2 / (2 * _log_uniform(rng, (0.04, 0.5)) ** 2)))
    return pools


def _shade(bright: NDArray[np.uint8], rng: np.random.Generator) -> Map:
    y, x = _coordinates(bright)
    angle = rng.uniform(0, 2 * math.pi)
    distance = math.cos(angle) * x + math.sin(angle) * y - rng.uniform(-0.3, 0.3)
    return _sigmoid(distance / _log_uniform(rng, (0.01, 0.3)))


def _highlights(bright: NDArray[np.uint8], rng: np.random.Generator) -> Map:
    luminance = bright.mean(-1) / 255
    spread = _log_uniform(rng, (0.005, 0.05)) * min(luminance.shape)
    soft = cv2.GaussianBlur(luminance, (0, 0), max(spread, 0.3))
    return _sigmoid((soft - rng.uniform(0.5, 0.9)) / rng.uniform(0.02, 0.1))


_MASKS: tuple[Callable[[NDArray[np.uint8], np.random.Generator], Map], ...] = (_pools_of_light, _shade, _highlights)


def _coordinates(picture: NDArray[np.uint8]) -> tuple[Map, Map]:
    height, width = picture.shape[:2]
    return np.linspace(-0.5, 0.5, height)[:, None], np.linspace(-0.5, 0.5, width)[None]


def _sigmoid(x: Map) -> Map:
    return 0.5 + 0.5 * np.tanh(x / 2)


def srgb_to_linear(values: Map) -> Map:
    """Decode sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Map) -> Map:
    """Encode linear light in [0, 1] as sRGB, the inverse of :func:`srgb_to_linear`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


@dataclass(frozen=True)
class CameraRanges:
    """A random camera for each image: ranges (low, high) to draw from; equal ends fix a value.

    Args:
        exposure: Fraction of the light, log-uniform.
        full_well: Electrons of a saturated pixel, log-uniform.
        read_noise: Electrons, uniform.
        colour_cast: Standard deviation of the logarithm of each channel's gain.
        tone_gamma: Exponent of the tone curve, uniform.
        jpeg_prob: Probability that the dark image is compressed as JPEG.
        jpeg_quality: Its quality, 1 to 100, uniform.
        srgb_prob: Probability of the exact sRGB curve in place of ``tone_gamma``.
        black_level: Subtracted offset, as a multiple of the dark image's mean linear light, uniform.
        uneven_prob: Probability of uneven light (see :func:`uneven_exposure`).
        smoothing_prob: Probability of the camera's noise reduction.
        smoothing: Its Gaussian's standard deviation in pixels, uniform.
        well_lit_prob: Probability of full exposure: the image only gets the camera's noise.
    """

    exposure: Range
    full_well: Range = (1500.0, 1500.0)
    read_noise: Range = (3.0, 3.0)
    colour_cast: float = 0.0
    tone_gamma: Range = (SRGB_GAMMA, SRGB_GAMMA)
    jpeg_prob: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 95)
    srgb_prob: float = 0.0
    black_level: Range = (0.0, 0.0)
    uneven_prob: float = 0.0
    smoothing_prob: float = 0.0
    smoothing: Range = (0.4, 1.0)
    well_lit_prob: float = 0.0

    def darkened(self, bright: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Darken an image (H, W, 3), RGB, uint8, with one of the cameras; returns the same shape."""
        exposure: float | Map = _log_uniform(rng, self.exposure)
        full_well = _log_uniform(rng, self.full_well)
        read_noise = _uniform(rng, self.read_noise)
        if _happens(rng, self.well_lit_prob):
            dark = darken(bright, exposure=1.0, rng=rng, full_well=full_well, read_noise=read_noise, tone_gamma=None)
        else:
            colour_gains = _colour_gains(rng, self.colour_cast)
            tone_gamma = _uniform(rng, self.tone_gamma)
            if _happens(rng, self.uneven_prob):
                exposure = uneven_exposure(bright, exposure, rng)
            dark = darken(
                bright,
                exposure=exposure,
                rng=rng,
                full_well=full_well,
                read_noise=read_noise,
                colour_gains=colour_gains,
                tone_gamma=None if _happens(rng, self.srgb_prob) else tone_gamma,
                black_level=_uniform(rng, self.black_level),
                smoothing=_uniform(rng, self.smoothing) if _happens(rng, self.smoothing_prob) else 0.0,
            )
        if _happens(rng, self.jpeg_prob):
            dark = _through_jpeg(dark, quality=int(rng.integers(*self.jpeg_quality, endpoint=True)))
        return dark


def _happens(rng: np.random.Generator, probability: float) -> bool:
    """Draw only if the event is possible, so that an unused option does not change the other draws."""
    return probability > 0 and rng.random() < probability


def _uniform(rng: np.random.Generator, limits: Range) -> float:
    low, high = limits
    return low if low == high else float(rng.uniform(low, high))


def _log_uniform(rng: np.random.Generator, limits: Range) -> float:
    low, high = limits
    return low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _colour_gains(rng: np.random.Generator, cast: float) -> float | tuple[float, float, float]:
    if cast == 0:
        return 1.0
    red, green, blue = np.exp(cast * rng.standard_normal(3))
    return float(red), float(green), float(blue)


def _through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'JPEG', quality=quality)
    return np.asarray(Image.open(file))
