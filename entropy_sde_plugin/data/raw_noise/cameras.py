"""Calibrated cameras: how the noise of a sensor grows with its gain, from ELD (Wei et al., CVPR 2020)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

import msgspec
import numpy as np

from entropy_sde_plugin.data.raw_noise.model import NoiseParameters
from entropy_sde_plugin.errors import InputError, suggestion

__all__ = ['CAMERAS', 'CameraName', 'Gain', 'NoiseLine', 'RawCamera', 'camera', 'draw_parameters']

CameraName = Literal['CanonEOS5D4', 'CanonEOS70D', 'CanonEOS700D', 'NikonD850', 'SonyA7S2']

CAMERAS: tuple[CameraName, ...] = ('CanonEOS5D4', 'CanonEOS70D', 'CanonEOS700D', 'NikonD850', 'SonyA7S2')
"""The calibrated cameras, in the order of their numbers in ELD."""

Gain = Literal['released', 'per_camera']
"""Where gains are drawn from: ``released`` takes 0.1 to 30 ADU per photon for every camera, as the released
ExposureDiffusion does; ``per_camera`` what the camera itself can be set to."""

RELEASED_GAINS = (0.1, 30.0)


class NoiseLine(msgspec.Struct, frozen=True):
    """How a kind of noise depends on the gain K: log(scale) = slope log(K) + bias + std N(0, 1), in ADU."""

    slope: float
    bias: float
    std: float

    def draw(self, gain: float, rng: np.random.Generator) -> float:
        """Draw the scale, in ADU, for a gain in ADU per photon."""
        return math.exp(self.slope * math.log(gain) + self.bias + self.std * rng.standard_normal())


class RawCamera(msgspec.Struct, frozen=True):
    """The calibration of one camera.

    Attributes:
        gain_range: Gains K of its lowest and highest calibrated ISO (100 and 6400), in ADU per photon.
        gauss: Read noise taken as Gaussian: its standard deviation.
        tukey: Read noise taken as Tukey lambda: its scale.
        row: The noise that a row shares: its standard deviation.
        tukey_shapes: Shapes lambda that were measured, one of which holds for an image.

    Example:
        >>> sony = camera('SonyA7S2')
        >>> round(sony.gain_at(1600), 6)
        1.502657
    """

    gain_range: tuple[float, float]
    gauss: NoiseLine
    tukey: NoiseLine
    row: NoiseLine
    tukey_shapes: tuple[float, ...]

    def gain_at(self, iso: float) -> float:
        """Return the gain K at an ISO, in ADU per photon: linear from ISO 100 to 6400, and beyond both.

        Raises:
            InputError: An ISO that is not positive.
        """
        if not iso > 0:
            raise InputError(f'An ISO must be above 0, got {iso}.', option='iso')
        low, high = self.gain_range
        return (iso - 100) / 6300 * (high - low) + low

    def draw(self, gain: float, ratio: float, rng: np.random.Generator) -> NoiseParameters:
        """Draw the noise of one exposure.

        Args:
            gain: K in ADU per photon.
            ratio: Exposure of the reference over that of the short frame.
            rng: Draws the three scales and the shape.
        """
        return NoiseParameters(
            gain=gain,
            ratio=ratio,
            gauss_std=self.gauss.draw(gain, rng),
            tukey_scale=self.tukey.draw(gain, rng),
            row_std=self.row.draw(gain, rng),
            tukey_shape=self.tukey_shapes[int(rng.integers(len(self.tukey_shapes)))],
        )


def camera(name: str) -> RawCamera:
    """Return a calibrated camera by its name.

    Raises:
        InputError: None of :data:`CAMERAS`.
    """
    if name not in CAMERAS:
        raise InputError(f"There is no camera '{name}'. {suggestion(name, CAMERAS)}", option='cameras')
    return _calibrations()[name]


def draw_parameters(
    cameras: Sequence[RawCamera], rng: np.random.Generator, *, gain: Gain, ratio: tuple[float, float]
) -> NoiseParameters:
    """Draw one exposure of one of several cameras, as ELD does.

    Args:
        cameras: Those to choose from, with equal probability.
        rng: Source of the draws.
        gain: Where the gain, log-uniform, is drawn from.
        ratio: Range of the exposure ratio, uniform.
    """
    chosen = cameras[int(rng.integers(len(cameras)))]
    low, high = RELEASED_GAINS if gain == 'released' else chosen.gain_range
    drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    return chosen.draw(drawn, float(rng.uniform(*ratio)), rng)


@functools.cache
def _calibrations() -> dict[str, RawCamera]:
    text = files('entropy_sde_plugin.data.raw_noise').joinpath('cameras.json').read_bytes()
    return msgspec.json.decode(text, type=dict[str, RawCamera])
