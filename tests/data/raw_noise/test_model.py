from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from entropy_sde_plugin.data.raw_noise.model import NoiseDraws, NoiseModel, NoiseParameters, tukey_lambda_quantile
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')


class GivenDraws(NoiseDraws):
    """The draws that the released code made, in place of a generator's."""

    def __init__(self, letters: str) -> None:
        self.letters = letters
        self.mean = np.zeros(())

    def uniform(self, shape):
        return GIVEN['noise_u']

    def normal(self, shape):
        return GIVEN['noise_row'] if len(shape) == 1 else GIVEN['noise_gauss']

    def counts(self, mean):
        self.mean = mean
        return GIVEN[f'noise_counts_{self.letters}'].astype(np.float32)

    def tukey(self, shape, tukey_shape):
        return GIVEN['noise_tukey']


def released_exposure():
    gain, ratio, row_std, tukey_scale, gauss_std, shape = GIVEN['noise_params_K_ratio_sigma_r_G_scale_g_scale_lambda']
    return NoiseParameters(gain, ratio, gauss_std, tukey_scale, row_std, shape)


@pytest.mark.parametrize(('letters', 'model'), [('Pg', 'P+g'), ('PGru', 'P+G+r+u'), ('hetg', 'p+g')])
def test_released_draws_give_released_noise(letters, model):
    noisy = NoiseModel(model)(GIVEN['noise_clean'], released_exposure(), GivenDraws(letters))
    np.testing.assert_allclose(noisy, GIVEN[f'noise_out_{letters}'], atol=1e-6)


def test_photons_are_drawn_around_the_dithered_short_exposure():
    draws, exposure = GivenDraws('PGru'), released_exposure()
    NoiseModel('PGru')(GIVEN['noise_clean'], exposure, draws)
    adu = GIVEN['noise_clean'] * 15583.0 / exposure.ratio + GIVEN['noise_u'] - 0.5
    np.testing.assert_allclose(draws.mean, adu.clip(0) / exposure.gain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('row', range(4))
def test_moments_are_those_of_the_release(row):
    model, clean, _, mean, _, variance = GIVEN['noise_moments'][row]
    exposure = released_exposure()
    planes = np.full((4, 400, 400), clean, np.float32)
    noisy = NoiseModel(['P+g', 'P+G+r+u'][int(model)])(planes, exposure, np.random.default_rng(row))
    adu = noisy.astype(np.float64) * 15583 / exposure.ratio
    # Each of the 800 rows has a draw of its own.
    assert adu.mean() == pytest.approx(mean, abs=0.05 if model == 0 else 5 * exposure.row_std / np.sqrt(800))
    assert adu.var() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize('letter', 'pP')
def test_the_variance_of_photons_is_gain_times_signal(letter):
    exposure = NoiseParameters(3.0, 50.0, 0, 0, 0, 0)
    noisy = NoiseModel(letter)(np.full((4, 300, 300), 0.2, np.float32), exposure, np.random.default_rng(0))
    adu = noisy.astype(np.float64) * 15583 / 50
    assert adu.mean() == pytest.approx(0.2 * 15583 / 50, rel=2e-3)
    assert adu.var() == pytest.approx(3.0 * 0.2 * 15583 / 50, rel=0.02)


def test_the_range_of_a_sensor_of_ten_bits():
    exposure = NoiseParameters(1.0, 10.0, 2.0, 0, 0, 0, value_range=998.0)
    noisy = NoiseModel('g')(np.full((4, 300, 300), 0.5, np.float32), exposure, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(2.0 * 10 / 998, rel=0.02)


def test_a_row_of_the_mosaic_shares_its_noise():
    exposure = NoiseParameters(1.0, 1.0, 0, 0, 5.0, 0)
    red, green_of_red, blue, green_of_blue = NoiseModel('r')(
        np.zeros((4, 50, 60), np.float32), exposure, np.random.default_rng(0)
    )
    assert (red == red[:, :1]).all()
    assert (red == green_of_red).all()
    assert (blue == green_of_blue).all()
    assert not (red == blue).any()


@pytest.mark.parametrize('index', range(5))
def test_tukey_lambda(index):
    p, shape = GIVEN['tukey_p'], GIVEN['tukey_lambda'][index]
    np.testing.assert_allclose(tukey_lambda_quantile(p, shape), GIVEN['tukey_quantiles'][index], rtol=1e-8, atol=1e-12)
    draws = NoiseDraws(np.random.default_rng(index)).tukey((400, 1000), shape)
    assert stats.kstest(draws.ravel()[:100_000], stats.tukeylambda(shape).cdf).pvalue > 1e-3
    if shape > -0.25:  # there the fourth moment, and with it the variance's error, has no bound
        assert draws.var() == pytest.approx(GIVEN['tukey_var'][index], rel=0.05)


def test_a_generator_alone_decides():
    exposure, planes = released_exposure(), GIVEN['noise_clean']
    first, second, other = (NoiseModel('PGru')(planes, exposure, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
    assert planes.max() <= 1  # the scene is not written into


@pytest.mark.parametrize(
    ('letters', 'message'),
    [('P+x', "'x' is not a noise"), ('P+P', 'twice'), ('P+p', 'P and p'), ('P+g+G', 'g and G')],
)
def test_wrong_letters(letters, message):
    with pytest.raises(InputError, match=message) as error:
        NoiseModel(letters)
    assert error.value.option == 'noise'
