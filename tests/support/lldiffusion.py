"""LLDiffusion's golden values: networks filled by formula, and inputs by formula."""

from __future__ import annotations

import argparse
import re
import zlib

import numpy as np
import torch

from entropy_sde_plugin.networks import LLDiffusionNet
from tests.support import GOLDEN

SIZES = {
    'lol': {},
    'tiny': {'ch': 32, 'num_res_blocks': 1},
    'lolv2': {'ch': 128, 'num_res_blocks': 4, 'fuse_mode': 'cat', 'num_deg_fusion': 6, 'deg_ch': 128},
    'tinyv2': {'ch': 32, 'num_res_blocks': 1, 'fuse_mode': 'cat', 'num_deg_fusion': 6, 'deg_ch': 32},
}
"""The released configurations, LOL's and LOL-v2's, and small ones of their kinds."""

SMALL = {'ch': 32, 'ch_mult': [1] * 6, 'num_res_blocks': 1, 'enc_ch': 2}
"""A network as small as can be."""


def golden():
    """Outputs of the released network, filled and fed by the formulas here, in float32 on a CPU."""
    return dict(np.load(GOLDEN / 'lldiffusion_network.npz').items())


def network(name):
    """A network of the golden values, in evaluation mode."""
    with torch.device('meta'):
        net = LLDiffusionNet(**SIZES[name])
    net.load_state_dict(filled(net.state_dict()), assign=True)
    return net.eval()


def filled(state):
    """Weights by formula, in the shapes of a state dict; of the spectral norms the singular vectors are exact."""
    weights = {key: _hashed(key, tuple(value.shape)) for key, value in state.items()}
    for key in [key for key in state if key.endswith('.weight_orig')]:
        matrix = weights[key].reshape(len(weights[key]), -1)
        # Of W W', which is smaller than W; in float64 its squared singular values are exact enough.
        left = np.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1]
        right = matrix.T @ left
        weights[key.replace('orig', 'u')], weights[key.replace('orig', 'v')] = left, right / np.linalg.norm(right)
    return {key: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for key, value in weights.items()}


def _hashed(key, shape):
    mixed = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint64)
    mixed = (mixed * np.uint64(2654435761) + np.uint64(zlib.crc32(key.encode()))) & np.uint64(2**32 - 1)
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        mixed ^= mixed >> np.uint64(shift)
        mixed = (mixed * np.uint64(factor)) & np.uint64(2**32 - 1)
    mixed ^= mixed >> np.uint64(16)
    values = (mixed / 2**31 - 1).reshape(shape)
    if len(shape) == 1:
        return 0.1 * values + key.endswith('weight')
    return values * np.sqrt(3 * shape[0] / values.size)


def image(shape, seed):
    """0.5 + 0.5 sin(0.113 i + seed) over the flat index i."""
    flat = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.113 * flat + seed)).float().view(shape)


def inputs(shape=(1, 3, 64, 64)):
    """The noisy state, the dark image and the bright one."""
    return 4 * (image(shape, 3) - 0.5), 2 * (0.2 * image(shape, 1)) - 1, 2 * image(shape, 2) - 1


def relative_error(made, expected):
    """Distance in the L2 norm, relative to the expected values' norm."""
    expected = torch.as_tensor(expected)
    return ((made - expected).double().norm() / expected.double().norm()).item()


def small_network(seed=0, **sizes):
    """The smallest network, or one a bit larger, in evaluation mode, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LLDiffusionNet(**{**SMALL, **sizes}).eval()


def released_checkpoint(net, average, *, older=False):
    """What a file of the release holds, with real optimiser and scheduler states.

    Args:
        net: Its current weights.
        average: Their moving average.
        older: Number the levels on the way up from the finest, as earlier files do.
    """
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 1000, 5000], gamma=0.5)

    def name(key):
        return re.sub(r'(unet\.up\.)(\d)', lambda match: f'{match[1]}{5 - int(match[2])}', key) if older else key

    data = argparse.Namespace(image_size=128, root='data/LOL')
    return {
        'epoch': 356,
        'step': 0,
        'state_dict': {f'module.{name(key)}': value for key, value in net.state_dict().items()},
        'optimizer': optimizer.state_dict(),
        'ema_helper': {name(key): value.detach() for key, value in average.named_parameters()},
        'params': argparse.Namespace(config='LOL.yml', seed=0),
        'config': argparse.Namespace(data=data, device=torch.device('cpu')),
        'lr_scheduler': scheduler.state_dict(),
    }
