"""Calibrated cameras: how the noise of a sensor grows with its gain (ELD, Wei et al., CVPR 2020)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from entropy_sde_plugin.data.raw_noise.model import NoiseParameters
from entropy_sde_plugin.diffusion.exposure import RELEASED_RANGE
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.utils.distributed import warn
from entropy_sde_plugin.utils.paths import regular
from entropy_sde_plugin.utils.schema import Positive

__all__ = ['CAMERAS', 'GainSource', 'NoiseLine', 'RawCamera', 'camera', 'draw_parameters', 'gain_for']

CAMERAS = ('CanonEOS5D4', 'CanonEOS70D', 'CanonEOS700D', 'NikonD850', 'SonyA7S2')
"""The cameras that ELD calibrated, in the order of their numbers there."""

GainSource = Literal['released', 'per_camera']
"""Where gains are drawn from: ``released`` takes 0.1 to 30 ADU per photon for every camera, as the released
ExposureDiffusion does; ``per_camera`` what the camera itself can be set to."""

RELEASED_GAINS = (0.1, 30.0)

Row = tuple[float, float, float]


class NoiseLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a kind of noise depends on the gain K: log(scale) = slope log(K) + bias + std N(0, 1), in ADU."""

    slope: float
    bias: float
    std: Annotated[float, msgspec.Meta(ge=0)]

    def draw(self, gain: float, rng: np.random.Generator) -> float:
        """Draw the scale, in ADU, for a gain in ADU per photon."""
        return math.exp(self.slope * math.log(gain) + self.bias + self.std * rng.standard_normal())


class RawCamera(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The calibration of one camera; also the content of a file that ``entropy-sde calibrate`` writes.

    Attributes:
        gains: Calibrated ISO values, increasing, each with its gain K in ADU per photon. Of ELD's cameras these are
            the ends, ISO 100 and 6400.
        gauss: Read noise taken as Gaussian: its standard deviation.
        tukey: Read noise taken as Tukey lambda: its scale.
        row: The noise that a row shares: its standard deviation.
        tukey_shapes: Shapes lambda that were measured, one of which holds for an image.
        camera_from_srgb: From linear sRGB to the camera's colours, (3, 3), rows sum to 1. Of ELD's cameras it follows
            from LibRaw's table of colour matrices; see ``raw_colour.camera_from_srgb``.
        value_range: White less black level, ADU. The release takes the same for all of ELD's cameras.

    Example:
        >>> sony = camera('SonyA7S2')
        >>> round(sony.gain_at(1600), 6)
        1.502657
    """

    gains: Annotated[tuple[tuple[Positive, Positive], ...], msgspec.Meta(min_length=1)]
    gauss: NoiseLine
    tukey: NoiseLine
    row: NoiseLine
    tukey_shapes: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)]
    camera_from_srgb: tuple[Row, Row, Row]
    value_range: Positive = RELEASED_RANGE

    def __post_init__(self) -> None:
        if any(iso >= later for (iso, _), (later, _) in pairwise(self.gains)):
            raise InputError("the ISO values of 'gains' must increase")

    @property
    def gain_range(self) -> tuple[float, float]:
        """Gains at the lowest and the highest calibrated ISO."""
        return self.gains[0][1], self.gains[-1][1]

    def gain_at(self, iso: float) -> float:
        """Return the gain K at an ISO, in ADU per photon: linear between calibrated ones, beyond them in proportion.

        Raises:
            InputError: An ISO that is not positive.
        """
        if not iso > 0:
            raise InputError(f'An ISO must be above 0, got {iso}.', option='iso')
        isos, gains = zip(*self.gains, strict=True)
        inside = min(max(iso, isos[0]), isos[-1])
        return float(np.interp(inside, isos, gains)) * iso / inside

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
            value_range=self.value_range,
        )


def camera(name: str, option: str = 'camera') -> RawCamera:
    """Return a calibrated camera.

    Args:
        name: One of :data:`CAMERAS`, or the path of a ``.json`` file that ``entropy-sde calibrate`` wrote.
        option: The option that names it, for errors.

    Raises:
        InputError: There is no such camera, or the file cannot be read or does not describe a camera.
    """
    if name.endswith('.json'):
        return _of_file(Path(name), option)
    if name not in CAMERAS:
        message = (
            f"There is no camera '{name}'. {suggestion(name, CAMERAS)} Files of 'entropy-sde calibrate' are .json."
        )
        raise InputError(message, option)
    return _calibrations()[name]


def gain_for(iso: float | None, taken_by: RawCamera | None) -> float:
    """Return the gain K of a raw image, in ADU per photon: that of its ISO, by the camera's calibration.

    Args:
        iso: None where the file does not say.
        taken_by: The camera, None where it is not known.

    Returns:
        1 if either is unknown; a warning is printed once.
    """
    if taken_by is None:
        _warn_once("no camera is named, so the gain K is 1 ADU per photon; give 'camera' or 'gain'.")
    elif iso is None:
        _warn_once("there are raw files without an ISO; for them the gain K is 1 ADU per photon. Give 'gain'.")
    else:
        return taken_by.gain_at(iso)
    return 1.0


def draw_parameters(
    cameras: Sequence[RawCamera], rng: np.random.Generator, *, gain: GainSource, ratio: tuple[float, float]
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


_warn_once = functools.cache(warn)


@functools.cache
def _calibrations() -> dict[str, RawCamera]:
    text = files('entropy_sde_plugin.data.raw_noise').joinpath('cameras.json').read_bytes()
    return msgspec.json.decode(text, type=dict[str, RawCamera])


def _of_file(path: Path, option: str) -> RawCamera:
    try:
        return msgspec.json.decode(regular(path).read_bytes(), type=RawCamera)
    except OSError as error:
        raise InputError(f'The camera file {path} cannot be read: {error.strerror}.', option) from None
    except msgspec.DecodeError as error:
        raise InputError(
            f"{path} is not a camera file ({error}); 'entropy-sde calibrate' writes one.", option
        ) from None
