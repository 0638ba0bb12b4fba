from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from entropy_sde_plugin.data.raw_noise.poisson import poisson


@pytest.mark.parametrize('mean', [0.007, 0.5, 3.99, 4.0, 7.3, 31.0, 400.0])
def test_counts_follow_the_distribution(mean):
    counts = poisson(np.full((500, 400), mean), np.random.default_rng(1)).ravel()
    observed = np.bincount(counts.astype(int))
    expected = stats.poisson.pmf(np.arange(len(observed)), mean) * counts.size
    common = expected > 10
    chi2 = ((observed - expected)[common] ** 2 / expected[common]).sum()
    assert stats.chi2.sf(chi2, common.sum() - 1) > 1e-3
    assert observed[~common].sum() <= 3 * (counts.size - expected[common].sum()) + 30


def test_means_of_all_sizes_in_one_array():
    means = np.random.default_rng(2).gamma(1, 6, 400_000)
    counts = poisson(means.reshape(4, 100, 1000), np.random.default_rng(3))
    assert counts.shape == (4, 100, 1000)
    assert counts.dtype == np.float32
    standardised = (counts.ravel() - means) / np.sqrt(means)
    for low, high in [(0, 0.1), (0.1, 2), (2, 4), (4, 6), (6, 20), (20, 100)]:
        group = standardised[(means >= low) & (means < high)]
        assert abs(group.mean()) < 4 / np.sqrt(group.size)
        assert abs(group.var() - 1) < 4 * np.sqrt(2 + 1 / max(low, 0.02)) / np.sqrt(group.size)


def test_no_light_gives_no_photons():
    assert not poisson(np.zeros(1000), np.random.default_rng(0)).any()


def test_draws_follow_the_generator():
    means = np.linspace(0, 50, 100_000)
    first, second, other = (poisson(means, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (first == second).all()
    assert (first != other).any()
