"""Networks rebuilt from the shapes of their weights, as others have them who get a file and no options."""

from __future__ import annotations

import pytest
import torch
import yaml

from entropy_sde_plugin.networks.architectures import architecture_of
from entropy_sde_plugin.options.networks import build_network
from tests.support.commands import ROOT

OPTION_FILES = sorted((ROOT / 'options').glob('*.yml'))


@pytest.mark.parametrize('path', OPTION_FILES, ids=lambda path: path.stem)
def test_the_network_of_an_option_file_follows_from_its_shapes(path):
    network = build_network(yaml.safe_load(path.read_text(encoding='utf-8'))['network_g'])
    shapes = {key: torch.empty(value.shape, device='meta') for key, value in network.state_dict().items()}
    architecture = architecture_of(shapes)
    with torch.device('meta'):
        rebuilt = architecture.network(**architecture.options(shapes))
    assert type(rebuilt) is type(network)
    assert {key: value.shape for key, value in rebuilt.state_dict().items()} == {
        key: value.shape for key, value in shapes.items()
    }
