"""What a network's output means, against states whose clean image and noise are known."""

import pytest
import torch

from entropy_sde_plugin.diffusion import DDPM, IRSDE
from entropy_sde_plugin.diffusion.denoiser import PREDICTIONS, NetworkDenoiser
from entropy_sde_plugin.errors import InputError

EXACT_OUTPUTS = {
    'noise': lambda x0, noise, mean: noise,
    'x0': lambda x0, noise, mean: x0 - mean,
}


def test_every_prediction_is_tested():
    assert EXACT_OUTPUTS.keys() == PREDICTIONS.keys()


@pytest.mark.parametrize('process', [IRSDE(), DDPM()], ids=['irsde', 'ddpm'])
@pytest.mark.parametrize('name', PREDICTIONS)
def test_an_exact_output_gives_the_clean_image_and_the_noise(process, name):
    torch.manual_seed(0)
    x0, cond = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64)
    noise, t = torch.randn_like(x0), torch.tensor([3, 60])
    decay, std = (table[t].view(-1, 1, 1, 1) for table in (process.decays, process.stds))
    mean = cond if isinstance(process, IRSDE) else torch.zeros_like(cond)
    xt = mean + decay * (x0 - mean) + std * noise
    output = EXACT_OUTPUTS[name](x0, noise, mean)

    denoiser = NetworkDenoiser(lambda x, c, time: output, process, name)
    torch.testing.assert_close(denoiser(xt, cond, t), x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(denoiser.noise(xt, cond, t), noise, rtol=1e-9, atol=1e-9)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(InputError, match=r"no prediction 'nois'\. Did you mean 'noise'\?"):
        NetworkDenoiser(lambda x, c, t: x, IRSDE(), 'nois')
