"""The exposure process against released values: units, ladders, photon counts and the gain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion import CLEAN
from entropy_sde_plugin.diffusion.exposure import ExposureProcess, illumination_gain, matched_to_truth, photon_counts
from entropy_sde_plugin.errors import InputError
from tests.support import GOLDEN

GIVEN = np.load(GOLDEN / 'exposurediffusion.npz')


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_gain_is_the_released_one():
    predicted, truth = torch.from_numpy(GIVEN['ic_pred']), torch.from_numpy(GIVEN['ic_target'])
    np.testing.assert_allclose(illumination_gain(predicted, truth).flatten(), GIVEN['ic_gain'], rtol=1e-6)
    np.testing.assert_allclose(matched_to_truth(predicted, truth), GIVEN['ic_out'], atol=1e-6)
    np.testing.assert_allclose(matched_to_truth(predicted, truth[:1]), GIVEN['ic_out_one_target'], atol=1e-6)


def test_the_gain_of_a_black_prediction_is_finite():
    black = torch.zeros(1, 4, 4, 4, requires_grad=True)
    matched = matched_to_truth(black, torch.full((1, 4, 4, 4), 0.5))
    matched.sum().backward()
    assert not matched.any()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_the_ladder_of_inference_is_linear_for_each_picture():
    first, second, third, last = ExposureProcess(torch.tensor([100.0, 250.0]), 1.0).time_grid(3)
    assert last is CLEAN
    assert torch.stack([first, second, third]).T.tolist() == [[1, 34, 67], [1, 84, 167]]


def test_the_ladder_of_a_single_picture_loses_a_call_as_often_as_the_release():
    process, source = ExposureProcess(20, 1.0), generators(0)
    ladders = [process.draw_times(2, source, from_one=True) for _ in range(4000)]
    lengths = [len(ladder) - 1 for ladder in ladders]
    assert set(lengths) == {2, 3}
    assert lengths.count(2) / len(lengths) == pytest.approx(2 / 19, abs=0.02)
    values = np.concatenate([torch.cat(ladder[1:-1]).numpy() for ladder in ladders])
    assert set(values) == set(range(2, 20))


def test_ladders_of_a_batch_are_drawn_for_each_picture():
    process = ExposureProcess(torch.tensor([3.5, 200.0]), torch.tensor([1.0, 2.0]))
    drawn = [torch.stack(process.draw_times(2, generators(s, s + 1), from_one=False)[:-1]) for s in range(300)]
    ladders = torch.stack(drawn)  # (300, 3, 2)
    assert (ladders[:, 0] == 1).all()
    assert (ladders.diff(dim=1) > 0).all()
    assert set(ladders[:, 1:, 0].flatten().tolist()) == {2, 3}  # where the ratio leaves too few, as released
    assert ladders[:, 1:, 1].max() == 199
    alone = process.draw_times(2, generators(5, 6), from_one=False)
    swapped = ExposureProcess(torch.tensor([200.0, 3.5]), 1.0).draw_times(2, generators(6, 5), from_one=False)
    assert [row[1] for row in alone[:-1]] == [row[0] for row in swapped[:-1]]


def test_a_longer_exposure_is_unbiased_and_less_noisy():
    ratio, gain, signal, to = 100.0, 4.0, 0.2, 30.0
    process = ExposureProcess(ratio, gain)
    photons = signal * 15583 / (ratio * gain)
    short = torch.poisson(torch.full((1, 4, 200, 200), photons), torch.Generator().manual_seed(0)) * signal / photons
    clean = torch.full((1, 4, 200, 200), signal)
    state = process.lengthen(short, clean, torch.tensor(to), photon_counts(torch.Generator().manual_seed(1)))
    assert state.mean().item() == pytest.approx(signal, rel=2e-3)
    assert state.var().item() == pytest.approx(signal**2 / (photons * to), rel=0.02)


def test_the_gradient_passes_through_the_counts():
    process = ExposureProcess(100.0, 1.0)
    picture = torch.full((1, 4, 3, 3), 0.3, requires_grad=True)
    short = torch.full((1, 4, 3, 3), 0.2)
    state = process.lengthen(short, picture, torch.tensor(20.0), photon_counts(torch.Generator().manual_seed(0)))
    state.sum().backward()
    assert picture.grad is not None
    torch.testing.assert_close(picture.grad, torch.full_like(picture, 19 / 20))


def test_a_pictures_counts_do_not_depend_on_the_others():
    means = torch.rand(3, 4, 8, 8) * 20
    together = photon_counts(generators(1, 2, 3))(means)
    alone = photon_counts(generators(2))(means[1:2])
    assert torch.equal(together[1:2], alone)


def test_a_diverged_prediction_stays_one():
    process = ExposureProcess(100.0, 1.0)
    broken = torch.full((1, 4, 2, 2), torch.nan)
    state = process.lengthen(torch.ones_like(broken), broken, torch.tensor(2.0), photon_counts(generators(0)))
    assert state.isnan().all()


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: ExposureProcess(1.0, 1.0), 'above 1'),
        (lambda: ExposureProcess(2.0, 0.0), 'from 0.001 to 1000 ADU'),
        (lambda: ExposureProcess(20.0, 1.0).time_grid(0), 'at least 1'),
        (
            lambda: ExposureProcess(2.0, 1.0).draw_times(2, generators(0), from_one=True),
            '3 network calls need exposure ratios of at least 3, got 2: lower',
        ),
        (lambda: ExposureProcess(20.0, 1.0).draw_times(2, generators(0, 1), from_one=True), 'from_one=False'),
    ],
)
def test_wrong_values(call, message):
    with pytest.raises(InputError, match=message):
        call()
