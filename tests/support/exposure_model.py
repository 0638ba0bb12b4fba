"""A small ExposureDiffusionModel, and a batch for it."""

from __future__ import annotations

import torch

from tests.support import irsde

TINY = {'type': 'ExposureNAFNet', 'width': 4, 'enc_blk_nums': [1], 'dec_blk_nums': [1]}
DEFAULTS = {'model_type': 'ExposureDiffusionModel', 'network_g': TINY, 'sampler': {'steps': 2}, 'val__metrics': None}


def options(**changes):
    """Options of a small ExposureDiffusionModel; changes as of :func:`tests.support.irsde.options`."""
    opt = irsde.options(**(DEFAULTS | changes))
    del opt['sde'], opt['train']['pixel_opt']
    return opt


def model(**changes):
    torch.manual_seed(0)
    return irsde.build_model(options(**changes))


def batch(size=2, side=16):
    """Planes with noise, exposures that differ from image to image, and a camera's colours."""
    torch.manual_seed(1)
    gt = torch.rand(size, 4, side, side)
    return {
        'lq': (gt + 0.2 * torch.randn(gt.shape)).clamp(0, 1),
        'gt': gt,
        'ratio': torch.linspace(50.5, 200, size),
        'gain': torch.linspace(1, 4, size),
        'value_range': torch.linspace(15583, 3000, size),
        'white_balance': torch.tensor([2.0, 1.0, 1.5, 1.0]).expand(size, 4),
        'matrix': torch.tensor([[1.6, -0.5, -0.1], [-0.2, 1.4, -0.2], [0.0, -0.4, 1.4]]).expand(size, 3, 3),
        'lq_path': [f'picture{number}.dng' for number in range(size)],
    }
