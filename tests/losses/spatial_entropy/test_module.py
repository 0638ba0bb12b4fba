"""The loss as a module: by itself, and as the pixel loss of a stock BasicSR model."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from basicsr.losses import build_loss
from basicsr.models import build_model
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss
from entropy_sde_plugin.losses.spatial_entropy.neighbours import draw_neighbour_weights, neighbour_mean


def pair(batch: int = 2) -> tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing='ij')
    phase = torch.arange(3.0 * batch).view(batch, 3, 1, 1)
    target = 0.5 + 0.4 * torch.sin(0.4 * x + 0.2 * y + phase)
    return target + 0.1 * torch.cos(x), target


def test_defaults_are_the_released_loss_with_positive_weights() -> None:
    pred, target = pair()
    generator = torch.Generator().manual_seed(5)
    weights = draw_neighbour_weights('random', torch.Generator().manual_seed(5))
    expected = spatial_entropy(
        pred, target, distance='hellinger', levels=32, windows=(1, 3, 5), neighbour_weights=weights
    )
    assert SpatialEntropyLoss()(pred, target, generator=generator) == expected


def test_weights_are_drawn_anew_unless_their_generators_agree() -> None:
    pred, target = pair()
    loss = SpatialEntropyLoss(levels=8)
    assert loss(pred, target) != loss(pred, target)
    shared = [loss(pred, target, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert shared[0] == shared[1]
    fixed = SpatialEntropyLoss(levels=8, neighbour_weights='mean')
    assert fixed(pred, target) == fixed(pred, target)


def test_neighbour_weights() -> None:
    draws = torch.stack([draw_neighbour_weights('random', torch.Generator().manual_seed(seed)) for seed in range(400)])
    centre = torch.zeros(3, 3, dtype=torch.bool)
    centre[1, 1] = True
    assert (draws[:, centre] == 0).all()
    assert (draws[:, ~centre] > 0).all()
    assert draws[:, ~centre].mean().item() == pytest.approx(0.5, abs=0.02)
    assert (draw_neighbour_weights('mean')[~centre] == 1).all()
    signed = torch.stack(
        [draw_neighbour_weights('legacy_normal', torch.Generator().manual_seed(seed)) for seed in range(400)]
    )
    assert signed[:, ~centre].mean().item() == pytest.approx(0, abs=0.05)
    assert signed[:, ~centre].std().item() == pytest.approx(1, abs=0.05)


def test_neighbour_mean_is_a_cross_correlation_padded_with_zeros() -> None:
    v = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    weights = torch.rand(3, 3, dtype=torch.float64)
    kernel = weights.clone()
    kernel[1, 1] = 0
    kernel = (kernel / kernel.sum()).expand(3, 1, 3, 3)
    expected = torch.nn.functional.conv2d(v, kernel, padding=1, groups=3)
    torch.testing.assert_close(neighbour_mean(v, weights, 'per_channel'), expected)
    torch.testing.assert_close(neighbour_mean(v, weights, 'all_channels'), expected / 3)


def test_reduction_and_weights() -> None:
    pred, target = pair()
    options = {'levels': 8, 'neighbour_weights': 'mean'}
    each = SpatialEntropyLoss(reduction='none', **options)(pred, target)
    assert each.shape == (2,)
    assert SpatialEntropyLoss(loss_weight=3, **options)(pred, target).item() == pytest.approx(3 * each.mean().item())
    assert SpatialEntropyLoss(reduction='sum', **options)(pred, target).item() == pytest.approx(each.sum().item())
    weighted = SpatialEntropyLoss(**options)(pred, target, torch.tensor([0.0, 2.0]))
    assert weighted.item() == pytest.approx(each[1].item())
    with pytest.raises(InputError, match='one value for each of 2 images'):
        SpatialEntropyLoss(**options)(pred, target, torch.ones(2, 3, 12, 12))


def test_levels_refine_with_the_iterations() -> None:
    pred, target = pair()
    loss = SpatialEntropyLoss(levels=[[0, 8], [100, 16], [300, 32]], neighbour_weights='mean')
    seen = []
    for iteration in (0, 1, 99, 100, 299, 300, 10_000, 5):
        loss.update(iteration)
        seen.append(loss.levels)
    assert seen == [8, 8, 8, 16, 16, 32, 32, 8]
    expected = SpatialEntropyLoss(levels=8, neighbour_weights='mean')(pred, target)
    assert loss(pred, target) == expected


def test_levels_that_nobody_refines_are_reported_once(recwarn: pytest.WarningsRecorder) -> None:
    pred, target = pair()
    options = {'levels': [[0, 8], [100, 16]], 'windows': [1]}
    updated, forgotten = SpatialEntropyLoss(**options), SpatialEntropyLoss(**options)
    updated.update(0)
    updated(pred, target)
    assert [str(warning.message) for warning in recwarn] == []
    for _ in range(2):
        forgotten(pred, target)
    (warning,) = recwarn
    assert 'stays at 8 levels until its update(iteration) is called' in str(warning.message)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'loss_weight': '1e-2'}, "loss_weight: '1e-2' is not a number"),
        ({'loss_weight': float('nan')}, 'loss_weight: nan is not'),
        ({'neighbour_weights': 'ones'}, "neighbour_weights: unknown 'ones'"),
        ({'levels': [[0, 8], [100, 1]]}, 'levels: 1 '),
        ({'levels': [[5, 8], [100, 16]]}, r'levels: \[\[5, 8\], \[100, 16\]\] is neither'),
        ({'levels': [[0, 8], [0, 16]]}, 'is neither a number nor steps'),
        ({'levels': [8, 16]}, 'is neither a number nor steps'),
        ({'levels': []}, 'is neither a number nor steps'),
        ({'levels': '32'}, 'is neither a number nor steps'),
        ({'windows': [2]}, r'windows: \[2\] is not'),
        ({'distance': 'kl'}, "distance: unknown 'kl'"),
    ],
    ids=str,
)
def test_wrong_options_say_so_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpatialEntropyLoss(**options)


def test_options_are_shown() -> None:
    shown = repr(SpatialEntropyLoss(distance='relative_entropy', levels=16, engine='torch'))
    assert "distance='relative_entropy'" in shown
    assert 'levels=16' in shown
    assert "engine='torch'" in shown


@pytest.mark.parametrize('mended', [False, True])
def test_any_pytorch_loop_descends(mended: bool) -> None:
    pred, target = pair()
    options = {'clamp': False, 'generalised': True} if mended else {}
    loss = SpatialEntropyLoss(distance='relative_entropy', levels=16, neighbour_weights='mean', **options)
    image = pred.clone().requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        loss(image, target).backward()
        optimiser.step()
    assert (image - target).square().mean() < 0.05 * (pred - target).square().mean()


def test_stock_sr_model_trains_with_it(tmp_path) -> None:
    torch.manual_seed(0)
    opt = {
        'model_type': 'SRModel',
        'num_gpu': 0,
        'dist': False,
        'is_train': True,
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'training_states': str(tmp_path)},
        'network_g': {
            'type': 'SRVGGNetCompact',
            'num_in_ch': 3,
            'num_out_ch': 3,
            'num_feat': 8,
            'num_conv': 2,
            'upscale': 1,
        },
        'train': {
            'ema_decay': 0,
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [1000]},
            'pixel_opt': {'type': 'SpatialEntropyLoss', 'levels': 16, 'neighbour_weights': 'mean'},
        },
    }
    model = build_model(opt)
    lq, gt = pair()
    losses = []
    for iteration in range(1, 41):
        model.feed_data({'lq': lq, 'gt': gt})
        model.optimize_parameters(iteration)
        losses.append(model.log_dict['l_pix'])
    assert losses[-1] < 0.9 * losses[0]


def test_basicsr_builds_it_from_options() -> None:
    loss = build_loss({'type': 'SpatialEntropyLoss', 'loss_weight': 2, 'levels': 8, 'windows': [1, 3]})
    assert isinstance(loss, SpatialEntropyLoss)
    assert loss.loss_weight == 2


def test_two_processes_train_as_one(tmp_path) -> None:
    """DistributedDataParallel over gloo averages to the gradient of the whole batch."""
    lq, gt = pair()
    with multiprocessing.get_context('fork').Pool(2) as pool:
        shared = pool.starmap(_gradient_in_group, [(rank, tmp_path / 'store', lq, gt) for rank in (0, 1)], chunksize=1)
    whole = _gradient(_network(), lq, gt)
    assert torch.equal(shared[0], shared[1])
    torch.testing.assert_close(shared[0], whole, rtol=1e-5, atol=0)


def _gradient_in_group(rank: int, store: Path, lq: Tensor, gt: Tensor) -> Tensor:
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    network = torch.nn.parallel.DistributedDataParallel(_network())
    gradient = _gradient(network, lq[rank : rank + 1], gt[rank : rank + 1])
    torch.distributed.destroy_process_group()
    return gradient


def _network() -> torch.nn.Module:
    network = torch.nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.linspace(0, 0.05, network.weight.numel()).view_as(network.weight))
    return network


def _gradient(network: torch.nn.Module, lq: Tensor, gt: Tensor) -> Tensor:
    SpatialEntropyLoss(levels=16, neighbour_weights='mean')(network(lq), gt).backward()
    (parameter,) = network.parameters()
    assert parameter.grad is not None
    return parameter.grad
