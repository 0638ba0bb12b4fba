"""How results are finished: the highlights and the brightness that each mode gives."""

import pytest
import torch

from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.diffusion.brightness import AUTOMATIC_LEAST
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import standard_normal
from entropy_sde_plugin.inference.restoration import restore
from entropy_sde_plugin.options.diffusion import SamplerOptions
from entropy_sde_plugin.utils.luma import mean_luma

STREET = torch.full((1, 3, 10, 20), 0.04)
SKY = torch.linspace(0.75, 0.95, 20)
STREET[..., :3, :] = SKY


def restored(brightness):
    """What becomes of the street if the model brightens everything fourfold."""
    process = IRSDE()
    return restore(
        lambda x, cond, t: (4 * cond).clamp(max=1) - cond,  # the prediction 'x0' is x0 - cond
        STREET,
        denoiser_of=lambda network: NetworkDenoiser(network, process, 'x0'),
        process=process,
        sampler=SamplerOptions(brightness=brightness),
        times=process.time_grid(2),
        noise=standard_normal(torch.Generator().manual_seed(0)),
    )


@pytest.mark.parametrize('brightness', ['auto', 0.5])
def test_a_bright_sky_keeps_its_levels(brightness):
    sky = restored(brightness)[0, 0, 0]
    assert (sky.diff() > 1e-3).all()


@pytest.mark.parametrize('brightness', ['model', 'keep'])
def test_other_modes_take_all_from_the_model(brightness):
    assert restored(brightness)[0, 0, 0].unique().numel() == 1


def test_a_sky_does_not_make_a_dark_street_bright_enough():
    result = restored('auto')
    assert mean_luma(restored('model')) > AUTOMATIC_LEAST
    wanted = 0.16 + 0.7 * (AUTOMATIC_LEAST - 0.16)  # 7 of 10 rows are dark, brightened by two doublings
    assert mean_luma(result[..., 3:, :]).item() == pytest.approx(wanted, abs=2e-3)


def test_a_number_is_the_mean_of_the_whole_image():
    assert mean_luma(restored(0.5)).item() == pytest.approx(0.5, abs=2e-3)
