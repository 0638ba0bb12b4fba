"""Networks and images of ExposureDiffusion by formula, as its golden values were made."""

from __future__ import annotations

import zlib

import numpy as np
import torch

from entropy_sde_plugin.networks import ExposureNAFNet, ExposureUNet

NAFNET2 = {'enc_blk_nums': [2, 2, 4, 4], 'middle_blk_num': 12, 'dec_blk_nums': [2, 2, 2, 2]}

NETWORKS = {
    'unet8': (ExposureUNet, {}, 3.0),
    'unet12': (ExposureUNet, {'concat_origin': True}, 3.0),
    'unet4': (ExposureUNet, {'adaptive': False, 'photon_plane': False}, 3.0),
    'naf1_8': (ExposureNAFNet, {}, 1.0),
    'naf1_12': (ExposureNAFNet, {'concat_origin': True}, 1.0),
    'naf2_8': (ExposureNAFNet, NAFNET2, 0.7),
    'naf2_12': (ExposureNAFNet, NAFNET2 | {'concat_origin': True}, 0.7),
}
"""Class, arguments and the factor of the filling, by the names of the golden values."""


def golden_network(name, factor=None):
    """The network of the golden values, in evaluation mode."""
    network_class, options, own_factor = NETWORKS[name]
    network = network_class(**options).eval()
    factor = own_factor if factor is None else factor
    network.load_state_dict({key: filling(key, value.shape, factor) for key, value in network.state_dict().items()})
    return network


def filling(key, shape, factor):
    """sin(0.37 i + crc32(key) mod 1000) over the flat index i, scaled by the kind of weight."""
    values = np.sin(0.37 * np.arange(np.prod(shape)) + zlib.crc32(key.encode()) % 1000)
    if len(shape) == 1:
        values = 0.1 * values + key.endswith('weight')
    else:
        values *= (np.prod(shape) / shape[0]) ** -0.5
    weights = torch.from_numpy(values.astype(np.float32)).reshape(shape)
    return weights * factor if len(shape) > 1 and not key.endswith(('beta', 'gamma')) else weights


def formula_picture(shape, start):
    """0.5 + 0.5 sin(0.113 i + start) over the flat index i."""
    values = 0.5 + 0.5 * np.sin(0.113 * np.arange(np.prod(shape)) + start)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def random_exposure_network(network_class=ExposureNAFNet, **options):
    """A network of ExposureDiffusion in evaluation mode, by default a tiny ExposureNAFNet of two levels, none of whose
    blocks is the identity that it starts as."""
    if network_class is ExposureNAFNet:
        options = {'width': 8, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1, 1]} | options
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_class(**options).eval()
        for name, parameter in network.named_parameters():
            if name.endswith(('.beta', '.gamma', 'norm1.weight', 'norm1.bias', 'norm2.weight', 'norm2.bias')):
                torch.nn.init.normal_(parameter, 0.5, 0.5)
    return network
