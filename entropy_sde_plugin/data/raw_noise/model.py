"""The noise of a short raw exposure, by the models of ELD (Wei et al., CVPR 2020, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entropy_sde_plugin.data.raw_noise.poisson import poisson
from entropy_sde_plugin.diffusion.exposure import RELEASED_RANGE
from entropy_sde_plugin.errors import InputError

__all__ = ['NoiseDraws', 'NoiseModel', 'NoiseParameters', 'tukey_lambda_quantile']

Planes = NDArray[np.floating]


@dataclass(frozen=True)
class NoiseParameters:
    """One exposure.

    Attributes:
        gain: System gain K, ADU per photon.
        ratio: Exposure of the reference over that of the short frame, at least 1.
        gauss_std: Standard deviation of Gaussian read noise, ADU.
        tukey_scale: Scale of Tukey lambda read noise, ADU.
        row_std: Standard deviation of row noise, ADU.
        tukey_shape: Its shape lambda.
        value_range: White less black level, ADU.

    Example:
        >>> sensor = NoiseParameters(1.0, 100.0, gauss_std=2.0, tukey_scale=1.0, row_std=0.5, tukey_shape=0.1)
        >>> sensor.value_range
        15583.0
    """

    gain: float
    ratio: float
    gauss_std: float
    tukey_scale: float
    row_std: float
    tukey_shape: float
    value_range: float = RELEASED_RANGE


class NoiseDraws:
    """The random numbers of a noise model, all from one generator.

    Args:
        rng: The generator.

    Example:
        >>> NoiseDraws(np.random.default_rng(0)).counts(np.zeros((1, 2)))
        array([[0., 0.]], dtype=float32)
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def uniform(self, shape: tuple[int, ...]) -> Planes:
        """Uniform in [0, 1)."""
        return self._rng.random(shape, dtype=np.float32)

    def normal(self, shape: tuple[int, ...]) -> Planes:
        """Standard normal."""
        return self._rng.standard_normal(shape, dtype=np.float32)

    def counts(self, mean: Planes) -> Planes:
        """Poisson counts of a mean, shaped as it."""
        return poisson(mean, self._rng)

    def tukey(self, shape: tuple[int, ...], tukey_shape: float) -> Planes:
        """Tukey lambda of scale 1."""
        # A float32 draw is a multiple of 2^-24; 0 itself has no finite quantile.
        return tukey_lambda_quantile(np.maximum(self.uniform(shape), np.float32(2**-25)), tukey_shape)


class NoiseModel:
    """A noise model by its letters, joined by ``+`` or not, as ``P+g`` or ``PGru``.

    | letter | noise |
    |---|---|
    | ``P`` | photons: Poisson |
    | ``p`` | the same as Gaussian noise of that variance |
    | ``g`` | read noise, Gaussian |
    | ``G`` | read noise, Tukey lambda |
    | ``r`` | row noise: one Gaussian draw for each row of the mosaic |
    | ``u`` | quantisation: uniform within one ADU, before the photons are drawn |

    Args:
        letters: The model.

    Raises:
        InputError: An unknown letter, one given twice, or two for the same noise.

    Example:
        >>> exposure = NoiseParameters(1.0, 100.0, gauss_std=2.0, tukey_scale=1.0, row_std=0.5, tukey_shape=0.1)
        >>> noisy = NoiseModel('P+g')(np.full((4, 8, 8), 0.5, np.float32), exposure, np.random.default_rng(0))
        >>> noisy.shape, noisy.dtype
        ((4, 8, 8), dtype('float32'))
    """

    LETTERS = 'PpgGru'

    def __init__(self, letters: str) -> None:
        self.letters = frozenset(letters.replace('+', ''))
        unknown = sorted(self.letters - set(self.LETTERS))
        if unknown or len(self.letters) < len(letters.replace('+', '')):
            reason = f"'{unknown[0]}' is not a noise" if unknown else 'a letter is given twice'
            raise InputError(f"Noise model '{letters}': {reason}. Letters: {', '.join(self.LETTERS)}.", option='noise')
        for pair in ('Pp', 'gG'):
            if self.letters >= set(pair):
                message = f"Noise model '{letters}': {pair[0]} and {pair[1]} are the same noise, take one of them."
                raise InputError(message, option='noise')

    def __call__(
        self, clean: Planes, exposure: NoiseParameters, draws: np.random.Generator | NoiseDraws
    ) -> NDArray[np.float32]:
        """Expose a scene for a short time and brighten the result to the reference.

        Args:
            clean: Packed Bayer planes of the reference, (4, H, W), in [0, 1]: R, G of the red rows, B, G of the blue.
            exposure: Its parameters.
            draws: Source of the noise.

        Returns:
            Noisy planes, float32 of the same shape, not clipped.
        """
        source = NoiseDraws(draws) if isinstance(draws, np.random.Generator) else draws
        to_adu = np.float32(exposure.value_range / exposure.ratio)
        adu = self._photons(clean.astype(np.float32) * to_adu, exposure.gain, source)
        if 'r' in self.letters:
            adu += _rows(adu.shape, source) * np.float32(exposure.row_std)
        if 'g' in self.letters:
            adu += source.normal(adu.shape) * np.float32(exposure.gauss_std)
        if 'G' in self.letters:
            adu += source.tukey(adu.shape, exposure.tukey_shape) * np.float32(exposure.tukey_scale)
        adu /= to_adu
        return adu

    def _photons(self, adu: NDArray[np.float32], gain: float, source: NoiseDraws) -> NDArray[np.float32]:
        if 'u' in self.letters:
            adu += source.uniform(adu.shape) - np.float32(0.5)
            adu = adu.clip(0)
        if 'P' in self.letters:
            return (source.counts(adu / np.float32(gain)) * gain).astype(np.float32)
        if 'p' in self.letters:
            adu += np.sqrt(np.maximum(adu * np.float32(gain), np.float32(1e-10))) * source.normal(adu.shape)
        return adu


def _rows(shape: tuple[int, ...], source: NoiseDraws) -> Planes:
    """Row noise of unit variance: planes 0 and 1 lie in the same rows of the mosaic, as do 2 and 3."""
    rows = source.normal((2 * shape[1],)).reshape(-1, 2)
    return rows.T[[0, 0, 1, 1], :, None]


def tukey_lambda_quantile(p: Planes, shape: float) -> Planes:
    """Return quantiles (p^l - (1 - p)^l) / l of the Tukey lambda distribution, log(p / (1 - p)) for l = 0.

    Args:
        p: Probabilities in (0, 1).
        shape: l.

    Example:
        >>> tukey_lambda_quantile(np.array([0.25, 0.5]), 0.0).round(4)
        array([-1.0986,  0.    ])
    """
    if shape == 0:
        return np.log(p / (1 - p))
    return (p**shape - (1 - p) ** shape) / shape
