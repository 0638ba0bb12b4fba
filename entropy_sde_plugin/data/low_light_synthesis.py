"""Dark photographs from bright ones, by a physical model of a short exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ['darken', 'draw_exposure']


def darken(
    image: NDArray[np.uint8],
    *,
    exposure: float,
    rng: np.random.Generator,
    full_well: float = 1500.0,
    read_noise: float = 3.0,
    gamma: float = 2.2,
) -> NDArray[np.uint8]:
    """Photograph a scene again with less light.

    ``linear = (image/255)^gamma * exposure``; ``electrons = Poisson(linear * full_well) + read_noise * N(0, 1)``; the
    result is ``clip(electrons / full_well, 0, 1)^(1/gamma)``, rounded to 8 bits.

    Args:
        image: The bright picture, uint8 of any shape, sRGB; values stand for linear light by the power law ``gamma``.
        exposure: Fraction of the light, above 0 and at most 1.
        rng: Source of the noise.
        full_well: Electrons of a saturated pixel; fewer mean more shot noise.
        read_noise: Standard deviation of the read-out, in electrons.
        gamma: Exponent between sRGB values and linear light.

    Returns:
        The dark picture, uint8, of the same shape.

    Raises:
        ValueError: ``exposure`` outside (0, 1].
    """
    if not 0 < exposure <= 1:
        raise ValueError(f'exposure must lie in (0, 1], but is {exposure}.')
    mean_electrons = (np.arange(256) / 255) ** gamma * (exposure * full_well)
    electrons = rng.poisson(mean_electrons[image]) + read_noise * rng.standard_normal(image.shape, dtype=np.float32)
    linear = np.clip(electrons / full_well, 0, 1)
    return np.rint(255 * linear ** (1 / gamma)).astype(np.uint8)


def draw_exposure(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw an exposure log-uniformly from ``low`` to ``high``."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
