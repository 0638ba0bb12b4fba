"""Averaged weights, against the average of each number in float64."""

from __future__ import annotations

import copy

import pytest
import torch

from entropy_sde_plugin.checkpoints.model import Model
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from tests.support.scripts import script

average = script('average_weights').average


def _model(seed: int, width: int = 4, **sampler: object) -> Model:
    torch.manual_seed(seed)
    network = ConditionalNAFNet(width=width, enc_blk_nums=[1], dec_blk_nums=[1])
    return Model(network, IRSDEOptions.from_options({'prediction': 'x0', 'sampler': sampler}))


def test_every_weight_is_averaged_and_the_settings_are_those_of_the_second():
    before, after = _model(0), _model(1, times=[100, 35])
    first, second = (copy.deepcopy(model.network.state_dict()) for model in (before, after))
    averaged = average(before, after, 0.7)
    for key, value in averaged.network.state_dict().items():
        expected = 0.3 * first[key].double() + 0.7 * second[key].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    assert averaged.options.carried()['sampler'] == {'times': [100, 35]}


@pytest.mark.parametrize(
    ('width', 'share', 'message'), [(6, 0.7, 'hold different networks'), (4, 1.5, '--share must lie between 0 and 1')]
)
def test_other_networks_and_shares_are_refused(width, share, message):
    with pytest.raises(InputError, match=message):
        average(_model(0), _model(1, width), share)
