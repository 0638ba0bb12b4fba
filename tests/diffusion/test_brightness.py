"""The wanted brightness, and the power law that reaches it; the oracle solves for the exponent on all pixels."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from entropy_sde_plugin.diffusion.brightness import automatic_brightness, match_brightness, wanted_brightness
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.luma import mean_luma

LUMA = np.array([0.299, 0.587, 0.114])


def luma_of(image: torch.Tensor) -> float:
    """Mean luma of (3, H, W), in float64."""
    return float(LUMA @ image.double().numpy().mean((1, 2)))


def random_images(count: int, peak: float) -> torch.Tensor:
    return peak * torch.rand(count, 3, 40, 50, generator=torch.Generator().manual_seed(0)) ** 2


@pytest.mark.parametrize('peak', [0.1, 0.5, 1.0])
@pytest.mark.parametrize('wanted', [0.05, 0.3, 0.6])
def test_a_power_law_reaches_the_wanted_brightness(peak, wanted):
    images = random_images(1, peak)
    pixels = images[0].double().numpy()
    gamma = brentq(lambda g: LUMA @ (pixels**g).mean((1, 2)) - wanted, 1 / 32, 32)
    result = match_brightness(images, torch.tensor([wanted]))
    assert luma_of(result[0]) == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(result[0].numpy(), pixels**gamma, atol=1e-3)


def test_eight_bit_images_are_met_exactly():
    images = torch.randint(0, 40, (1, 3, 64, 64), generator=torch.Generator().manual_seed(1)) / 255
    assert luma_of(match_brightness(images, torch.tensor([0.4]))[0]) == pytest.approx(0.4, abs=1e-6)


def test_each_image_has_its_own_and_zero_leaves_one_alone():
    images = random_images(3, 0.6)
    result = match_brightness(images, torch.tensor([0.2, 0.0, 0.7]))
    assert [luma_of(image) for image in (result[0], result[2])] == pytest.approx([0.2, 0.7], abs=1e-3)
    assert torch.equal(result[1], images[1])


def test_nothing_clips_and_black_stays_black():
    images = random_images(1, 1.0)
    images[..., :10] = 0
    result = match_brightness(images, torch.tensor([0.8]))
    assert result.max() <= 1
    assert torch.equal(result == 0, images == 0)


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_a_black_or_white_image_stays_as_it_is(value):
    images = torch.full((1, 3, 4, 4), value)
    assert torch.equal(match_brightness(images, torch.tensor([0.5])), images)


def test_weights_say_which_pixels_count():
    images = random_images(2, 0.6)
    weights = torch.rand(2, 1, 40, 50, generator=torch.Generator().manual_seed(2))
    result = match_brightness(images, torch.tensor([0.3, 0.5]), weights)
    means = [
        np.average(LUMA @ one.flatten(1).double().numpy(), weights=w.flatten())
        for one, w in zip(result, weights, strict=True)
    ]
    assert means == pytest.approx([0.3, 0.5], abs=1e-4)


def test_an_image_without_a_pixel_that_counts_stays_as_it_is():
    images, nothing = random_images(1, 0.6), torch.zeros(1, 1, 40, 50)
    assert torch.equal(match_brightness(images, mean_luma(images, nothing), nothing), images)


def test_what_is_wanted():
    dark, truth = random_images(2, 0.2), random_images(2, 0.9)
    for brightness in ('model', 'auto'):
        assert wanted_brightness(brightness, dark).tolist() == [0, 0]
    assert wanted_brightness(0.3, dark).tolist() == pytest.approx([0.3, 0.3])
    assert wanted_brightness('keep', dark).tolist() == pytest.approx([luma_of(image) for image in dark])
    assert wanted_brightness('truth', dark, truth).tolist() == pytest.approx([luma_of(image) for image in truth])


def test_the_truths_brightness_needs_a_truth():
    with pytest.raises(InputError, match='ground truth'):
        wanted_brightness('truth', random_images(1, 0.2))


@pytest.mark.parametrize(
    ('present', 'chosen', 'wanted'),
    [
        (0.05, 0.25, 0.35),  # raised to the least
        (0.05, 0.45, 0.45),  # above it
        (0.20, 0.20 * 2**0.5, 0.3164),  # brightened by half a doubling: half of the way
        (0.30, 0.30, 0.30),  # left alone
        (0.30, 0.20, 0.20),  # darkened
    ],
)
def test_the_model_s_choice_is_corrected(present, chosen, wanted):
    result = automatic_brightness(torch.tensor([chosen]), torch.tensor([present]), torch.ones(1))
    assert result.item() == pytest.approx(wanted, abs=1e-4)


def test_a_black_image_gets_a_finite_brightness():
    assert torch.isfinite(automatic_brightness(torch.zeros(1), torch.zeros(1), torch.ones(1))).all()


def test_an_image_that_is_lit_in_part_is_corrected_in_part():
    result = automatic_brightness(torch.full((3,), 0.25), torch.full((3,), 0.05), torch.tensor([1, 0.6, 0]))
    assert result.tolist() == pytest.approx([0.35, 0.31, 0.25])
