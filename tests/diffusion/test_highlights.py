"""Highlights stay apart in the result; the oracle goes pixel by pixel, in float64."""

import numpy as np
import pytest
import torch

from entropy_sde_plugin.diffusion.highlights import keep_highlights, lit

LUMA = np.array([0.299, 0.587, 0.114])


def rise(value: float, low: float, high: float) -> float:
    part = min(max((value - low) / (high - low), 0), 1)
    return 3 * part**2 - 2 * part**3


def oracle(result: np.ndarray, image: np.ndarray) -> np.ndarray:
    """One image, (H * W, 3)."""
    before, after = image @ LUMA, result @ LUMA
    share = np.array([rise(b, 0.4, 0.7) * rise(a, 0.7, 0.9) for b, a in zip(before, after, strict=True)])
    between = share * (1 - share)
    gamma = min(np.log(min(between @ after / between.sum(), 0.9)) / np.log(between @ before / between.sum()), 1)
    kept = []
    for pixel, level in zip(image, before, strict=True):
        raised = pixel * level ** (gamma - 1)
        gray = level**gamma
        if raised.max() > 1:
            raised = gray + (raised - gray) * (1 - gray) / (raised.max() - gray)
        kept.append(raised)
    return result + share[:, None] * (np.array(kept) - result)


def pixels(image: torch.Tensor) -> np.ndarray:
    return image.flatten(1).T.double().numpy()


def gray_ramp(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, 50).expand(1, 3, 1, 50)


def test_each_image_follows_the_definition():
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 0.8]).view(
        2, 1, 1, 1
    )
    results = (3 * images).clamp(max=1)
    kept = keep_highlights(results, images)
    for one, result, image in zip(kept, results, images, strict=True):
        np.testing.assert_allclose(pixels(one), oracle(pixels(result), pixels(image)), atol=1e-5)


def test_lit_pixels():
    expected = [rise(value, 0.4, 0.7) for value in gray_ramp(0, 1)[0, 0, 0].tolist()]
    np.testing.assert_allclose(lit(gray_ramp(0, 1)).flatten(), expected, atol=1e-5)


def test_levels_that_the_model_turned_white_stay_apart():
    lamp = gray_ramp(0.7, 1)
    street = torch.cat([gray_ramp(0, 0.7), lamp], dim=-1)
    kept = keep_highlights((4 * street).clamp(max=1), street)[0, 0, 0, -50:]
    assert (kept.diff() > 1e-3).all()
    assert (kept >= lamp[0, 0, 0] - 1e-6).all()  # never darker than the input
    assert kept[-1] == 1


@pytest.mark.parametrize('peak', [0.0, 0.39])
def test_an_image_without_lit_pixels_stays_exactly_as_it_is(peak):
    images = gray_ramp(0, peak)
    results = (5 * images).clamp(max=1)
    assert torch.equal(keep_highlights(results, images), results)


def test_pixels_that_the_model_left_dark_stay_as_they_are():
    images = gray_ramp(0.5, 0.69)
    assert torch.equal(keep_highlights(images, images), images)


@pytest.mark.parametrize('level', [0.0, 1.0])
def test_black_and_white_images(level):
    images = torch.full((1, 3, 4, 4), level)
    assert torch.equal(keep_highlights(torch.ones_like(images), images), torch.ones_like(images))


def test_white_beside_black_that_the_model_darkens_stays_finite():
    images = torch.tensor([0.0, 1.0]).expand(1, 3, 4, 2)
    kept = keep_highlights((0.8 * images).clamp(max=1), images)
    assert torch.equal(kept[..., 0], torch.zeros(1, 3, 4))
    assert ((kept[..., 1] >= 0.8) & (kept[..., 1] <= 1)).all()


def test_a_coloured_lamp_keeps_its_hue():
    lamp = torch.tensor([1.0, 0.8, 0.3]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    street = torch.cat([lamp, torch.full((1, 3, 2, 2), 0.55)], dim=-1)
    kept = pixels(keep_highlights((4 * street).clamp(max=1), street)[0])[0]
    chroma, original = kept - kept @ LUMA, pixels(lamp[0])[0] - pixels(lamp[0])[0] @ LUMA
    assert kept.max() == pytest.approx(1)
    assert chroma @ original == pytest.approx(np.linalg.norm(chroma) * np.linalg.norm(original))
    assert np.linalg.norm(chroma) > 0.1
