"""A small IRSDEModel, a batch for it, and what its training steps are compared by."""

from __future__ import annotations

import copy

import pytest
import torch
from basicsr.models import build_model

OPTIONS = {
    'name': 'test',
    'model_type': 'IRSDEModel',
    'num_gpu': 0,
    'manual_seed': 3,
    'dist': False,
    'rank': 0,
    'world_size': 1,
    'is_train': True,
    'sde': {'T': 20},
    'sampler': {'steps': 3},
    'network_g': {'type': 'ConditionalNAFNet', 'width': 8, 'enc_blk_nums': [1], 'dec_blk_nums': [1]},
    'path': {'pretrain_network_g': None, 'strict_load_g': True},
    'train': {
        'ema_decay': 0.5,
        'optim_g': {'type': 'Adam', 'lr': 1e-2},
        'scheduler': {'type': 'MultiStepLR', 'milestones': [100]},
        'total_iter': 100,
        'pixel_opt': {'type': 'L1Loss'},
    },
    'datasets': {
        'train': {'name': 'train', 'type': 'PairedImageDataset', 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    },
    'logger': {'print_freq': 1, 'save_checkpoint_freq': 1},
    'val': {'val_freq': 1, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
}


def options(**changes):
    """The options with dotted keys changed, e.g. ``options(train__objective='x0')``; None removes a key."""
    opt = copy.deepcopy(OPTIONS)
    for dotted, value in changes.items():
        *sections, key = dotted.split('__')
        section = opt
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = value
    return opt


def model(**changes):
    torch.manual_seed(0)
    return build_model(options(**changes))


def batch(size=2, side=16):
    torch.manual_seed(1)
    gt = torch.rand(size, 3, side, side)
    return {'lq': gt * 0.1, 'gt': gt, 'lq_path': [f'picture{i}.png' for i in range(size)]}


def weights(net):
    return {key: value.clone() for key, value in net.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def check_same_change(found, expected, start):
    """Check that weights moved from ``start`` by the same, but for rounding."""
    scale = max((expected[name] - start[name]).abs().max() for name in start).item()
    for name, value in found.items():
        torch.testing.assert_close(value - start[name], expected[name] - start[name], rtol=1e-3, atol=1e-4 * scale)


def check_same_step(found, expected, start):
    """Check that two models took the same step from ``start``: its losses, and how the weights moved."""
    for name, value in expected.get_current_log().items():
        assert found.get_current_log()[name] == pytest.approx(value, rel=1e-5)
    check_same_change(weights(found.net_g), weights(expected.net_g), start)


def spy(criterion):
    """Record what a model's criterion compares."""
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, predicted, target, **kwargs):
            seen.append((predicted.detach().clone(), target.detach().clone()))
            return criterion(predicted, target, **kwargs)

    return Spy(), seen
