"""Dark photographs from bright ones, by a physical model of a short exposure and of what cameras do with it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ['Cameras', 'Range', 'darken']

Range = tuple[float, float]
SRGB_GAMMA = 2.2


def darken(
    image: NDArray[np.uint8],
    *,
    exposure: float,
    rng: np.random.Generator,
    full_well: float = 1500.0,
    read_noise: float = 3.0,
    colour_gains: float | tuple[float, float, float] = 1.0,
    tone_gamma: float = SRGB_GAMMA,
) -> NDArray[np.uint8]:
    """Photograph a scene again with less light.

    ``linear = (image/255)^2.2 * exposure``; ``electrons = Poisson(linear * full_well) + read_noise * N(0, 1)``; the
    result is ``clip(colour_gains * electrons / full_well, 0, 1)^(1/tone_gamma)``, rounded to 8 bits.

    Args:
        image: The bright picture, uint8 of any shape, sRGB; values stand for linear light by a power law.
        exposure: Fraction of the light, above 0 and at most 1.
        rng: Source of the noise.
        full_well: Electrons of a saturated pixel; fewer mean more shot noise.
        read_noise: Standard deviation of the read-out, in electrons.
        colour_gains: What the camera's white balance gets wrong: factors of the channels' linear light, for pictures
            (..., 3).
        tone_gamma: Exponent of the camera's tone curve; above that of sRGB it lifts the shadows.

    Returns:
        The dark picture, uint8, of the same shape.

    Raises:
        ValueError: ``exposure`` outside (0, 1].
    """
    if not 0 < exposure <= 1:
        raise ValueError(f'exposure must lie in (0, 1], but is {exposure}.')
    mean_electrons = (np.arange(256) / 255) ** SRGB_GAMMA * (exposure * full_well)
    electrons = rng.poisson(mean_electrons[image]) + read_noise * rng.standard_normal(image.shape, dtype=np.float32)
    linear = np.clip(electrons / full_well * np.asarray(colour_gains), 0, 1)
    return np.rint(255 * linear ** (1 / tone_gamma)).astype(np.uint8)


@dataclass(frozen=True)
class Cameras:
    """Cameras that differ from picture to picture: ranges (low, high) to draw from, both ends the same for none.

    Args:
        exposure: Fraction of the light, log-uniform.
        full_well: Electrons of a saturated pixel, log-uniform.
        read_noise: Electrons, uniform.
        colour_cast: Standard deviation of the logarithm of each channel's gain.
        tone_gamma: Exponent of the tone curve, uniform.
        jpeg_prob: Probability that the dark picture was kept as JPEG.
        jpeg_quality: Its quality, 1 to 100, uniform.
    """

    exposure: Range
    full_well: Range = (1500.0, 1500.0)
    read_noise: Range = (3.0, 3.0)
    colour_cast: float = 0.0
    tone_gamma: Range = (SRGB_GAMMA, SRGB_GAMMA)
    jpeg_prob: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 95)

    def photograph(self, bright: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Darken a picture (H, W, 3), RGB, uint8, with one of the cameras; returns the same shape."""
        dark = darken(
            bright,
            exposure=_log_uniform(rng, self.exposure),
            rng=rng,
            full_well=_log_uniform(rng, self.full_well),
            read_noise=_uniform(rng, self.read_noise),
            colour_gains=_colour_gains(rng, self.colour_cast),
            tone_gamma=_uniform(rng, self.tone_gamma),
        )
        if self.jpeg_prob > 0 and rng.random() < self.jpeg_prob:
            dark = _through_jpeg(dark, quality=int(rng.integers(*self.jpeg_quality, endpoint=True)))
        return dark


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
