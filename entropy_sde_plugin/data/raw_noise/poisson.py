"""Poisson counts of many means at once, faster than NumPy's, which draw one at a time: whole-array operations only."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

__all__ = ['poisson']

Means = NDArray[np.float32]

_SMALLEST_EXPANDED = 4
"""From this mean on the expansion is used, below it the tables."""

_STEPS = 64
"""Tabulated means for each photon."""

_COLUMNS = 32
"""Counts of a table: 32 and more have a probability below 1e-18."""

_BLOCK = 1 << 15
"""Means worked on at a time: what they need stays in the cache."""


def poisson(mean: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw Poisson counts.

    They follow the distribution to the precision of float32, not of an approximation.

    Args:
        mean: Means of any shape, not negative.
        rng: Source of the draws.

    Returns:
        Whole numbers as float32, shaped as ``mean``.

    Example:
        >>> counts = poisson(np.full(10000, 2.5), np.random.default_rng(0))
        >>> round(float(counts.mean()), 1), round(float(counts.var()), 1)
        (2.5, 2.5)
    """
    means = mean.astype(np.float32).ravel()
    counts = np.empty_like(means)
    for start in range(0, means.size, _BLOCK):
        counts[start : start + _BLOCK] = _block(means[start : start + _BLOCK], rng)
    return counts.reshape(mean.shape)


def _block(mean: Means, rng: np.random.Generator) -> Means:
    is_large = mean >= _SMALLEST_EXPANDED
    large, small = np.flatnonzero(is_large), np.flatnonzero(~is_large)
    counts = np.empty_like(mean)
    counts[large] = _by_expansion(mean[large], rng)
    counts[small] = _by_table(mean[small], rng)
    return counts


def _by_expansion(mean: Means, rng: np.random.Generator) -> Means:
    """Invert the distribution function at a normal draw, by an expansion (Giles, ACM TOMS 42(1), 2016, Q_N2).

    Where that lies closer to a whole number than its error bound, the distribution function itself decides.
    """
    w = rng.standard_normal(mean.shape, dtype=np.float32)
    square, root = w * w, np.sqrt(mean)
    x = mean + root * w
    x += square / 6 + np.float32(1 / 3)
    x -= w * (square / 72 + np.float32(1 / 36)) / root
    x += (square * (square / 270 + np.float32(7 / 810)) - np.float32(8 / 405)) / mean
    error = (square * (square / 160 + np.float32(1 / 80)) + np.float32(1 / 40)) / mean
    counts = np.floor(x)
    border = np.rint(x)
    doubtful = np.flatnonzero(np.abs(x - border) <= error)
    border = np.maximum(border[doubtful], 1)
    below = special.ndtr(w[doubtful].astype(np.float64)) <= special.gammaincc(border, mean[doubtful])
    counts[doubtful] = border - below
    return np.maximum(counts, 0, out=counts)


def _by_table(mean: Means, rng: np.random.Generator) -> Means:
    """Draw for the next lower mean of the table (alias method), and add a draw for the rest of the mean."""
    row = (mean * _STEPS).astype(np.int32)
    left = mean - row * np.float32(1 / _STEPS)
    bits = rng.integers(1 << 32, size=mean.shape, dtype=np.uint32)
    column = bits % _COLUMNS
    thresholds, aliases = _alias_tables()
    cell = row * _COLUMNS + column
    counts = np.where(bits // _COLUMNS < thresholds[cell], column, aliases[cell]).astype(np.float32)
    chance = rng.random(mean.shape, dtype=np.float32)
    more = np.flatnonzero(chance < left)  # the chance of a photon is less than that
    for photons in range(3):  # the chance of four is 2e-9
        counts[more] += chance[more] < special.pdtrc(photons, left[more])
    return counts


@functools.cache
def _alias_tables() -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Walker's alias tables of all tabulated means: the probability that a column keeps a draw, in 2^-27, and the
    column that takes it otherwise."""
    means = np.arange(_SMALLEST_EXPANDED * _STEPS) / _STEPS
    shares = _COLUMNS * stats.poisson.pmf(np.arange(_COLUMNS), means[:, None])
    aliases = np.tile(np.arange(_COLUMNS), (len(means), 1))
    every = np.arange(len(means))
    kept = np.ones_like(shares)
    open_columns = np.ones(shares.shape, bool)
    for _ in range(_COLUMNS - 1):  # the poorest column is filled up by the richest, and is done
        poorest = np.where(open_columns, shares, np.inf).argmin(1)
        richest = np.where(open_columns, shares, -np.inf).argmax(1)
        kept[every, poorest] = shares[every, poorest]
        aliases[every, poorest] = richest
        open_columns[every, poorest] = False
        shares[every, richest] -= 1 - kept[every, poorest]
    thresholds = np.rint(kept * 2**27).astype(np.uint32)
    return thresholds.ravel(), aliases.ravel()
