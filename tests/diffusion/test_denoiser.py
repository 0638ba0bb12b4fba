"""What a network's output means, against states whose clean image and noise are known."""

import math

import pytest
import torch

from entropy_sde_plugin.diffusion import DDPM, IRSDE
from entropy_sde_plugin.diffusion.denoiser import PREDICTIONS, NetworkDenoiser
from entropy_sde_plugin.errors import InputError
from tests.support.processes import PROCESSES


def derivative_by_the_angle(x0, noise, mean, decay, std, scale):
    """Of z = cos(angle) (x0 - m) / S + sin(angle) noise, which is x_t scaled, by central differences."""
    angle, step = torch.atan2(std / scale, decay), 1e-5

    def z(angle):
        return angle.cos() * (x0 - mean) / scale + angle.sin() * noise

    torch.testing.assert_close(scale * z(angle), decay * (x0 - mean) + std * noise)
    return (z(angle + step) - z(angle - step)) / (2 * step)


EXACT_OUTPUTS = {
    'noise': lambda x0, noise, mean, *moments: noise,
    'x0': lambda x0, noise, mean, *moments: x0 - mean,
    'v': derivative_by_the_angle,
}


def test_every_prediction_is_tested():
    assert EXACT_OUTPUTS.keys() == PREDICTIONS.keys()


@pytest.mark.parametrize('process', PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize('name', PREDICTIONS)
def test_an_exact_output_gives_the_clean_image_and_the_noise(process, name):
    torch.manual_seed(0)
    x0, cond = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64)
    noise, t = torch.randn_like(x0), torch.tensor([3, 60])
    decay, std = (table[t].view(-1, 1, 1, 1) for table in (process.decays, process.stds))
    mean = process.mean(cond)
    xt = mean + decay * (x0 - mean) + std * noise
    output = EXACT_OUTPUTS[name](x0, noise, mean, decay, std, process.stationary_std)

    denoiser = NetworkDenoiser(lambda x, c, time: output, process, name)
    torch.testing.assert_close(denoiser(xt, cond, t), x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(denoiser.noise(xt, cond, output, t), noise, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(denoiser.target(x0, cond, noise, t), output, rtol=1e-9, atol=1e-9)


def test_an_error_of_the_velocity_is_not_enlarged():
    """An error of the noise is, by s_t / a_t."""
    process, shape = DDPM(), (1, 3, 2, 2)
    state, wrong = torch.zeros(shape), torch.full(shape, 0.1)
    errors = {
        name: NetworkDenoiser(lambda *_: wrong, process, name)(state, state, 999).abs().max().item()
        for name in ('noise', 'v')
    }
    assert errors['noise'] == pytest.approx(0.1 * math.sqrt(1 / 4.03583e-5 - 1), rel=1e-4)
    assert errors['v'] == pytest.approx(0.1, rel=1e-4)


def test_an_unknown_prediction_is_refused():
    with pytest.raises(InputError, match=r"no prediction 'nois'\. Did you mean 'noise'\?"):
        NetworkDenoiser(lambda x, c, t: x, IRSDE(), 'nois')
