"""Networks that are told which brightness is wanted."""

import pytest
import torch

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.brightness import BrightnessEmbedding
from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet, network_options
from entropy_sde_plugin.networks.nafnet_strips import StripNetwork

SIZE = {'width': 8, 'enc_blk_nums': [1, 1], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]}


def trained(**options) -> ConditionalNAFNet:
    """A network with random weights everywhere, also where training starts from zero."""
    network = ConditionalNAFNet(**SIZE, **options)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def images(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, 21, 30, generator=generator), 0.2 * torch.rand(count, 3, 21, 30, generator=generator)


def test_at_first_the_new_input_changes_nothing():
    without = trained()
    network = ConditionalNAFNet(**SIZE, brightness=True)
    missing, unexpected = network.load_state_dict(without.state_dict(), strict=False)
    assert all(key.startswith('brightness.') for key in missing)
    assert not unexpected
    xt, cond = images()
    with torch.no_grad():
        told = network.eval()(xt, cond, 7, torch.tensor([0.3, 0.6]))
        assert torch.equal(told, without(xt, cond, 7))


def test_the_result_follows_the_wanted_brightness():
    network = trained(brightness=True)
    xt, cond = images()
    with torch.no_grad():
        results = [network(xt, cond, 7, torch.full((2,), value)) for value in (0.3, 0.31, 0.6)]
    assert not torch.equal(results[0], results[1])
    assert (results[0] - results[1]).norm() < (results[0] - results[2]).norm()


def test_no_wanted_brightness_is_zero_and_each_image_has_its_own():
    network = trained(brightness=True)
    xt, cond = images()
    with torch.no_grad():
        open_, mixed = network(xt, cond, 7), network(xt, cond, 7, torch.tensor([0.0, 0.5]))
        assert torch.equal(open_, network(xt, cond, 7, torch.zeros(2)))
    assert torch.equal(mixed[0], open_[0])
    assert not torch.equal(mixed[1], open_[1])


def test_the_embedding_is_the_formula():
    """In float64: waves of 100 b and of -10 log2(luma + 2^-10), wavelengths from 2 pi to 200 pi, the flag between."""
    embed = BrightnessEmbedding(8, out=5)
    torch.nn.init.normal_(embed.out.weight, generator=torch.Generator().manual_seed(2))
    cond, wanted = images()[1], torch.tensor([0.4, 0.0])

    luma = (cond.double().mean((2, 3)) * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)).sum(1)
    rows = []
    for image in range(2):
        frequencies = [10 ** (-2 * i / 3) for i in range(4)]
        waves = [
            [f(torch.tensor(value * w, dtype=torch.float64)) for f in (torch.sin, torch.cos) for w in frequencies]
            for value in (100 * wanted[image].item(), -10 * torch.log2(luma[image] + 2**-10).item())
        ]
        given = float(wanted[image] > 0)
        rows.append(torch.stack([*(given * wave for wave in waves[0]), torch.tensor(given).double(), *waves[1]]))
    double = embed.double()
    expected = double.out(torch.nn.functional.silu(double.hidden(torch.stack(rows))))
    embed.float()
    torch.testing.assert_close(embed(cond, wanted), expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('brightness', [None, torch.tensor([0.3, 0.0])])
def test_strips_are_told_too(brightness):
    network = trained(brightness=True)
    xt, cond = images()
    with torch.no_grad():
        expected = network(xt, cond, 7, brightness)
    torch.testing.assert_close(StripNetwork(network, tile=16)(xt, cond, 7, brightness), expected, rtol=1e-4, atol=1e-4)


def test_the_state_dict_says_whether_there_is_the_input():
    for brightness in (False, True):
        options = network_options(trained(brightness=brightness).state_dict())
        assert options['brightness'] is brightness


def test_gray_images_have_no_such_input():
    with pytest.raises(InputError, match='img_channel is 1'):
        ConditionalNAFNet(**SIZE, img_channel=1, brightness=True)
