"""Calibration of a sensor's noise from flat and dark frames, as ELD does it (Wei et al., CVPR 2020, section 4).

Flat frames show an even, steady light out of focus; dark frames are taken with the lens capped. All values are in ADU
above the black level, packed as planes (4, H, W): R, G of the red rows, B, G of the blue rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from entropy_sde_plugin.data.raw_noise.cameras import NoiseLine, RawCamera, Row
from entropy_sde_plugin.data.raw_noise.model import tukey_lambda_quantile
from entropy_sde_plugin.errors import InputError

__all__ = ['DarkNoise', 'ISONoise', 'TransferPoint', 'dark_noise', 'fitted_camera', 'photon_transfer', 'system_gain']

Planes = NDArray[np.floating]

_QUANTISATION = 1 / 12
"""Variance of rounding to whole ADU, which the noise model adds by its letter u."""

_HOT = 20.0
"""Pixels are clipped to this many standard deviations from their plane's mean; those beyond are defects."""

_PROBABILITIES = np.arange(1, 1000) / 1000
"""Of the quantiles that are compared; what lies beyond them is left to rare outliers."""

_SHAPES = (-0.45, 0.45)
"""Bounds of the Tukey lambda shape. Below -0.5 there is no variance."""


@dataclass(frozen=True)
class TransferPoint:
    """A point of the photon transfer curve.

    Attributes:
        mean: Signal, ADU.
        variance: Variance of one frame at that signal, ADU².
    """

    mean: float
    variance: float


@dataclass(frozen=True)
class DarkNoise:
    """The noise of one dark frame, in ADU; see ``NoiseParameters``."""

    gauss_std: float
    tukey_scale: float
    tukey_shape: float
    row_std: float


@dataclass(frozen=True)
class ISONoise:
    """What was measured at one ISO.

    Attributes:
        iso: The ISO.
        gain: K, ADU per photon.
        darks: Noise of each dark frame.

    Example:
        Flat frames of 400 and 1600 photons at K = 2 and dark frames of Gaussian noise:

        >>> rng = np.random.default_rng(0)
        >>> def frame(photons):
        ...     return 2.0 * rng.poisson(photons, (4, 128, 128)) + rng.normal(0, 3, (4, 128, 128))
        >>> points = [p for photons in (0, 400, 1600) for p in photon_transfer(frame(photons), frame(photons))]
        >>> measured = ISONoise(800, system_gain(points), [dark_noise(frame(0)), dark_noise(frame(0))])
        >>> round(measured.gain, 1), round(measured.darks[0].gauss_std, 1)
        (2.0, 3.0)
    """

    iso: float
    gain: float
    darks: Sequence[DarkNoise]


def photon_transfer(first: Planes, second: Planes) -> list[TransferPoint]:
    """Return mean and variance of each plane of two frames of the same light.

    The variance is half that of the difference, in which what repeats (vignetting, dust, fixed pattern) cancels.

    Args:
        first: A frame, (4, H, W).
        second: Another one of equal exposure.
    """
    difference = first.astype(np.float64) - second
    means = (first.mean((1, 2), dtype=np.float64) + second.mean((1, 2), dtype=np.float64)) / 2
    return [TransferPoint(float(m), float(v) / 2) for m, v in zip(means, difference.var((1, 2)), strict=True)]


def system_gain(points: Sequence[TransferPoint]) -> float:
    """Return the gain K in ADU per photon: the slope of the variance over the mean, var = K mean + read noise.

    Args:
        points: Points of flat frames, and of dark frames, which fix the read noise. Each counts by the inverse of its
            variance, which its own error is proportional to.

    Raises:
        InputError: The variance does not grow with the mean, or hardly more than the read noise.
    """
    means = np.array([point.mean for point in points])
    variances = np.array([point.variance for point in points])
    if variances.max() < 2 * variances.min():
        raise InputError('the flat frames are too dark: their noise is hardly above that of the dark ones')
    slope = np.polyfit(means, variances, 1, w=1 / variances)[0]
    if slope <= 0:
        raise InputError('the noise does not grow with the light: these are not raw values of a sensor')
    return float(slope)


def dark_noise(planes: Planes) -> DarkNoise:
    """Measure read noise and row noise of a dark frame.

    The means of the rows, less what the read noise itself adds to them, give the row noise. What is left of the pixels
    is compared with the quantiles of a normal and of Tukey lambda distributions: the shape is that of the straightest
    line (the largest correlation coefficient of the probability plot), the scale its slope. Whole numbers would make
    steps of the quantiles: each is spread evenly over the ADU around it. The variance of rounding and of that
    spreading is taken off.

    Args:
        planes: The frame, (4, H, W).

    Returns:
        Its noise. Row noise that is too weak to be seen in this frame is set to the least that could be.

    Raises:
        InputError: The noise is no greater than rounding, which hides it.
    """
    centred = planes - planes.mean((1, 2), keepdims=True, dtype=np.float64)
    spread = max(np.subtract(*np.percentile(centred, [75, 25])) / 1.349, np.sqrt(_QUANTISATION))
    centred = centred.clip(-_HOT * spread, _HOT * spread)
    rows = np.stack([centred[:2].mean((0, 2)), centred[2:].mean((0, 2))])  # of the red and of the blue rows
    pixels = centred - rows[[0, 0, 1, 1], :, None]
    width = 2 * planes.shape[2]
    share = (pixels**2).mean() / (width - 1)  # what the pixels' own noise adds to the variance of a row's mean
    row_variance = max(rows.var() - share, share * np.sqrt(2 / rows.size))
    spreading = np.random.default_rng(0).random(pixels.shape, np.float32) - np.float32(0.5)
    quantiles = np.quantile(pixels + spreading, _PROBABILITIES)
    normal = stats.norm.ppf(_PROBABILITIES)
    shape = _straightest(quantiles)
    tukey = tukey_lambda_quantile(_PROBABILITIES, shape)
    return DarkNoise(
        gauss_std=_scale(quantiles, normal, 1.0),
        tukey_scale=_scale(quantiles, tukey, float(stats.tukeylambda.var(shape))),
        tukey_shape=shape,
        row_std=float(np.sqrt(row_variance)),
    )


def fitted_camera(measured: Sequence[ISONoise], camera_from_srgb: Planes, value_range: float) -> RawCamera:
    """Fit how the noise depends on the gain.

    Each kind of noise is a line in logarithms through the values of all dark frames. Of a single ISO it is level.

    Args:
        measured: One entry for each ISO.
        camera_from_srgb: (3, 3); see ``RawCamera``.
        value_range: White less black level, ADU.
    """
    ordered = sorted(measured, key=lambda each: each.iso)
    gains = [each.gain for each in ordered for _ in each.darks]
    darks = [dark for each in ordered for dark in each.darks]
    return RawCamera(
        gains=tuple((each.iso, each.gain) for each in ordered),
        gauss=_line(gains, [dark.gauss_std for dark in darks]),
        tukey=_line(gains, [dark.tukey_scale for dark in darks]),
        row=_line(gains, [dark.row_std for dark in darks]),
        tukey_shapes=tuple(round(dark.tukey_shape, 4) for dark in darks),
        camera_from_srgb=msgspec.convert(camera_from_srgb.round(6).tolist(), tuple[Row, Row, Row]),
        value_range=value_range,
    )


def _straightest(quantiles: Planes) -> float:
    def bend(shape: float) -> float:
        return -float(np.corrcoef(quantiles, tukey_lambda_quantile(_PROBABILITIES, shape))[0, 1])

    return float(optimize.minimize_scalar(bend, bounds=_SHAPES, method='bounded').x)


def _scale(quantiles: Planes, of_scale_1: Planes, variance: float) -> float:
    """The slope of a probability plot, less the rounding and the spreading.

    Args:
        quantiles: The measured quantiles, of values spread over one ADU.
        of_scale_1: Quantiles of the distribution at scale 1.
        variance: Variance of the distribution at scale 1.
    """
    slope = quantiles @ of_scale_1 / (of_scale_1 @ of_scale_1)
    squared = slope**2 - 2 * _QUANTISATION / variance
    if squared * variance <= _QUANTISATION:
        raise InputError('its noise is hidden by the rounding to whole numbers; take a higher ISO')
    return float(np.sqrt(squared))


def _line(gains: Sequence[float], scales: Sequence[float]) -> NoiseLine:
    x, y = np.log(gains), np.log(scales)
    slope = np.polyfit(x, y, 1)[0] if np.ptp(x) else 0.0
    bias = (y - slope * x).mean()
    left = len(y) - (2 if np.ptp(x) else 1)
    std = np.sqrt(((y - slope * x - bias) ** 2).sum() / max(left, 1))
    return NoiseLine(float(slope), float(bias), float(std))
