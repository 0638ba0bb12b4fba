"""Networks of ExposureDiffusion in strips and tiles against the plain networks."""

import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ExposureUNet
from entropy_sde_plugin.networks.exposure_inference import ExposureStrips, ExposureTiles
from tests.support.exposure import golden_network, random_exposure_network


def planes(count, *size):
    return torch.rand(2, count, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('options', [{}, {'concat_origin': True}, {'adaptive': False, 'photon_plane': False}])
@pytest.mark.parametrize('tile', [0, 1, 16])
def test_strips_give_the_whole_frame_s_result(options, tile):
    """Sides are no multiples of four, as the levels need them."""
    network = random_exposure_network(**options)
    given = planes(network.intro.in_channels, 37, 50)
    with torch.no_grad():
        expected, _ = network(given)
    assert expected.std() > 0.05  # not a constant, nor clipped everywhere
    torch.testing.assert_close(ExposureStrips(network, tile=tile)(given)[0], expected, rtol=1e-4, atol=2e-6)


def test_tiles_give_the_whole_frame_s_result():
    """In float64, so that nothing but the margin decides; the golden filling lets border effects travel far."""
    network = golden_network('unet8').double()
    given = planes(8, 16, 272).double()[:1]
    with torch.no_grad():
        expected, _ = network(given)
    torch.testing.assert_close(ExposureTiles(network, tile=80)(given)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('kind', [ExposureStrips, ExposureTiles])
def test_a_negative_tile_is_refused(kind):
    network = random_exposure_network() if kind is ExposureStrips else ExposureUNet()
    with pytest.raises(InputError, match='tile must be 0'):
        kind(network, tile=-1)
