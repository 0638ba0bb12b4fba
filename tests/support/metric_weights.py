"""Real weights for the metrics and LPIPS as a loss, from the Python packages that carry them."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.error import URLError

import pytest
import torch

from entropy_sde_plugin.metrics import fid, perceptual
from tests.support.kept import kept_folder
from tests.support.scripts import script_path


@pytest.fixture(scope='session')
def real_weights(pytestconfig, tmp_path_factory):
    """A folder for torch's cache that holds AlexNet's and VGG16's convolutions; fetched by pip once, then kept."""
    home = kept_folder(pytestconfig, tmp_path_factory, 'metric_weights')
    if len(list(home.glob('hub/checkpoints/*.features.pth'))) < 2:
        subprocess.run(
            [sys.executable, script_path('fetch_metric_weights')],
            env=os.environ | {'TORCH_HOME': str(home)},
            check=True,
        )
    return home / 'hub'


@pytest.fixture
def cache(request, monkeypatch, tmp_path):
    """Torch's cache: an empty one, or ``real_weights`` for a test that asks for them too. There is no internet."""
    real = 'real_weights' in request.fixturenames
    folder = request.getfixturevalue('real_weights') if real else tmp_path / 'hub'
    monkeypatch.setattr(torch.hub, '_hub_dir', str(folder))

    def offline(url, *_, **__):
        raise URLError('no internet')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    built = (perceptual._lpips, perceptual._dists, fid._inception)
    for network in built:
        network.cache_clear()
    yield folder
    for network in built:
        network.cache_clear()
