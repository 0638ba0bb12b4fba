"""The spatial entropy of images against golden values and against the formula in double precision."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.autograd import forward_ad

import entropy_sde_plugin.data
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy import operator
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.native import engine as native_engine
from tests.support.spatial_entropy_cases import stored_case, stored_options
from tests.support.spatial_entropy_oracle import level_planes, plane_distance, relative_error

ENGINES = ['torch', *(['native'] if native_engine.available() else [])]


def photograph(name: str, side: int) -> Tensor:
    """The middle of a photograph of the package, (1, 3, side, side) in [0, 1]."""
    folder = entropy_sde_plugin.__path__[0]
    image = cv2.imread(f'{folder}/demo/photographs/{name}.jpg')[..., ::-1] / 255
    y, x = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return torch.tensor(image[y : y + side, x : x + side].transpose(2, 0, 1)[None].copy(), dtype=torch.float32)


def noisy(image: Tensor, deviation: float, seed: int = 0) -> Tensor:
    return image + deviation * torch.randn(
        image.shape, generator=torch.Generator().manual_seed(seed), dtype=image.dtype
    )


def loss_and_gradient(pred: Tensor, target: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    pred = pred.detach().clone().requires_grad_()
    loss = spatial_entropy(pred, target, **options)
    loss.sum().backward()
    return loss.detach(), pred.grad


def expected_loss_and_gradient(
    pred: Tensor, target: Tensor, *, neighbour_weights: Tensor | None = None, all_channels: bool = False, **options: Any
) -> tuple[Tensor, Tensor]:
    mapping = {key: options.pop(key) for key in ('intensity_range', 'clamp') if key in options}
    pred = pred.detach().double().clone().requires_grad_()
    planes = [
        plane
        for image in (pred, target)
        for plane in level_planes(image, options['levels'], neighbour_weights, all_channels, **mapping)
    ]
    loss = plane_distance(*planes, **options).mean()
    loss.backward()
    return loss.detach(), pred.grad


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('window', [3, 15, 41])
def test_details_alone_by_scipy(engine: str, window: int) -> None:
    """SciPy subtracts the means; at the border, and where the window is larger than the image, of what there is."""

    def details(image: Tensor) -> Tensor:
        size, planes = (1, 1, window, window), image.double().numpy()
        sums, counts = (uniform_filter(values, size, mode='constant') for values in (planes, np.ones_like(planes)))
        return torch.tensor(planes - sums / counts)

    target = photograph('coffee', 24)
    pred = noisy(target, 0.1)
    options = {'distance': 'hellinger', 'levels': 16, 'windows': (1, 3), 'intensity_range': (-0.25, 0.25)}
    weights = torch.ones(3, 3)
    expected, _ = expected_loss_and_gradient(details(pred), details(target), neighbour_weights=weights, **options)
    loss, _ = loss_and_gradient(pred, target, subtract_local_mean=window, engine=engine, **options)
    assert relative_error(loss, expected) < 1e-5
    brighter, _ = loss_and_gradient(pred + 0.3, target, subtract_local_mean=window, engine=engine, **options)
    assert relative_error(brighter, expected) < 1e-4


def test_the_gradient_of_details_by_differences() -> None:
    target = photograph('coffee', 12).double()
    pred = noisy(target, 0.1).requires_grad_()
    options = {'distance': 'hellinger', 'levels': 8, 'windows': (1, 3), 'intensity_range': (-0.5, 0.5)}
    assert torch.autograd.gradcheck(
        lambda x: spatial_entropy(x, target, subtract_local_mean=5, engine='torch', **options), pred, fast_mode=True
    )


@pytest.mark.parametrize(
    ('engine', 'dtype'), [('torch', torch.float64), *((engine, torch.float32) for engine in ENGINES)], ids=str
)
@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('case', range(5))
def test_golden_value_and_gradient(case: int, distance: str, engine: str, dtype: torch.dtype) -> None:
    stored = stored_case(case)
    # The tolerances named beside the stored values; Hellinger's allows for a root smoothed at 0.
    tolerance = 1e-5 if dtype == torch.float32 or distance == 'hellinger' else 1e-8
    loss, gradient = loss_and_gradient(
        torch.tensor(stored['pred'], dtype=dtype),
        torch.tensor(stored['target'], dtype=dtype),
        engine=engine,
        **stored_options(stored, distance),
    )
    assert loss.dtype == gradient.dtype == dtype
    assert loss.item() == pytest.approx(float(stored[f'{distance}_loss']), rel=tolerance)
    assert relative_error(gradient, torch.tensor(stored[f'{distance}_grad'])) <= tolerance


@pytest.mark.parametrize(
    ('normalisation', 'levels', 'distance', 'windows', 'value', 'norm'),
    [
        ('all_channels', 8, 'hellinger', (1, 3, 5), 0.08208846828381745, 0.0922891352980224),
        ('all_channels', 32, 'hellinger', (1, 3, 5), 0.33373384749763657, 0.297006553793894),
        ('all_channels', 32, 'hellinger', (11,), 0.1309860707498776, 0.25766173668978504),
        ('all_channels', 32, 'relative_entropy', (1, 3, 5), 0.6702467554091313, 1.144488130308535),
        ('per_channel', 32, 'hellinger', (1, 3, 5), 0.4316268417345482, 0.32560370943504346),
        ('per_channel', 32, 'relative_entropy', (1, 3, 5), 1.1458496867893502, 1.8933036912856536),
    ],
)
def test_golden_waves(
    normalisation: str, levels: int, distance: str, windows: tuple[int, ...], value: float, norm: float
) -> None:
    c, y, x = (axis.double() for axis in torch.meshgrid(*map(torch.arange, (3, 12, 10)), indexing='ij'))
    target = 0.5 + 0.45 * torch.sin(0.3 * x + 0.5 * y + c)
    pred = 0.5 + 0.42 * torch.sin(0.31 * x + 0.5 * y + c + 0.1) + 0.02 * torch.cos(1.7 * x * y)
    weights = torch.tensor([1.0, 2, 3, 4, 9, 5, 6, 7, 8])
    loss, gradient = loss_and_gradient(
        pred[None],
        target[None],
        distance=distance,
        levels=levels,
        windows=windows,
        neighbour_weights=weights,
        neighbour_normalisation=normalisation,
    )
    tolerance = 1e-6 if distance == 'hellinger' else 1e-10
    assert loss.item() == pytest.approx(value, rel=tolerance)
    assert gradient.norm().item() == pytest.approx(norm, rel=tolerance)


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(
    ('levels', 'windows', 'batch', 'side'),
    [(32, (1, 3, 5), 1, 24), (16, (11,), 3, 17), (8, (1, 3), 8, 13), (128, (1,), 1, 9), (256, (3, 1), 1, 7)],
    ids=str,
)
def test_photographs_equal_the_formula(
    levels: int, windows: tuple[int, ...], batch: int, side: int, distance: str
) -> None:
    names = ('astronaut', 'coffee', 'china', 'life', 'friends', 'seeding', 'rocket', 'chelsea')
    target = torch.cat([photograph(name, side) for name in names[:batch]])
    pred = noisy(target, 0.05).clamp(0, 1)
    weights = torch.rand(3, 3, generator=torch.Generator().manual_seed(1))
    options = {'distance': distance, 'levels': levels, 'windows': windows, 'neighbour_weights': weights}
    expected_loss, expected_gradient = expected_loss_and_gradient(pred, target, **options, all_channels=True)
    for engine in ENGINES:
        found = loss_and_gradient(pred, target, **options, neighbour_normalisation='all_channels', engine=engine)
        assert found[0].item() == pytest.approx(expected_loss.item(), rel=1e-5), engine
        assert relative_error(found[1], expected_gradient) <= 1e-5, engine


@pytest.mark.parametrize(
    'mend',
    [
        {'intensity_range': (-0.5, 1.5)},
        {'clamp': False},
        {'clamp': False, 'intensity_range': (-0.2, 1.0)},
        {'bandwidth': 1.3, 'normalise_density': True},
        {'generalised': True},
        {'generalised': True, 'clamp': False, 'bandwidth': 0.9},
        {'generalised': True, 'clamp': False, 'bandwidth': 2.0, 'levels': 8},  # a pixel outside reaches all bins
    ],
    ids=str,
)
@pytest.mark.parametrize('engine', ENGINES)
def test_mends_equal_the_formula(mend: dict[str, Any], engine: str) -> None:
    target = photograph('coffee', 16)
    pred = noisy(target, 0.3)
    options = {'distance': 'relative_entropy', 'levels': 12, 'windows': (1, 3, 5), **mend}
    loss, gradient = loss_and_gradient(pred, target, **options, engine=engine)
    normalised = options.pop('normalise_density', False)
    if normalised:
        options |= {'normalise': True, 'prefactor': 1.0}
    expected_loss, expected_gradient = expected_loss_and_gradient(pred, target, **options)
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-5)
    assert relative_error(gradient, expected_gradient) <= 1e-5


def test_wide_range_keeps_the_gradient_of_pixels_outside() -> None:
    target = photograph('coffee', 16)
    pred = noisy(target, 0.3)
    outside = (pred < 0) | (pred > 1)
    options = {'distance': 'hellinger', 'levels': 16, 'windows': (3,)}
    assert outside.float().mean() > 0.1
    assert (loss_and_gradient(pred, target, **options)[1][outside] == 0).all()
    assert (loss_and_gradient(pred, target, **options, intensity_range=(-2, 3))[1][outside] != 0).all()


def test_generalised_relative_entropy_is_a_divergence_where_the_published_one_is_not() -> None:
    target = (torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) > 0.5).double()
    washed_out = 0.5 + 0.98 * (target - 0.5)
    options = {'distance': 'relative_entropy', 'levels': 16, 'windows': (1, 3, 5)}
    assert loss_and_gradient(washed_out, target, **options)[0] < -0.01
    assert loss_and_gradient(washed_out, target, **options, generalised=True)[0] > 0.001
    _, published = loss_and_gradient(target, target, **options, clamp=False)
    loss, mended = loss_and_gradient(target, target, **options, clamp=False, generalised=True)
    assert abs(loss) < 1e-6
    assert mended.norm() < 1e-4 * published.norm()


@pytest.mark.parametrize('bandwidth', [0.5, 1.0, 3.0])
def test_normalised_density_weighs_all_bandwidths_alike(bandwidth: float) -> None:
    # Images whose densities do not touch are at Hellinger's largest distance, 1, when both masses are 1.
    black, white = torch.zeros(1, 1, 40, 40), torch.ones(1, 1, 40, 40)
    options = {'distance': 'hellinger', 'levels': 128, 'windows': (1,), 'bandwidth': bandwidth}
    inner = spatial_entropy(black, white, **options, normalise_density=True)
    assert inner.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('clamp', [True, False])
def test_gradients_are_finite_for_any_input(distance: str, engine: str, clamp: bool) -> None:
    target = photograph('life', 12)
    rng = torch.Generator().manual_seed(0)
    cases = [
        target,
        torch.zeros_like(target),
        torch.ones_like(target),
        torch.full_like(target, 0.37),
        target + 1e-7,
        1e4 * torch.randn(target.shape, generator=rng),
        torch.full_like(target, 3e38),
        -torch.full_like(target, 3e38),
    ]
    for pred in cases:
        for other in (target, torch.zeros_like(target), pred):
            for levels in (8, 200):
                loss, gradient = loss_and_gradient(
                    pred, other, distance=distance, levels=levels, windows=(1, 3), clamp=clamp, engine=engine
                )
                assert torch.isfinite(loss)
                assert torch.isfinite(gradient).all()


@pytest.mark.parametrize('engine', ENGINES)
def test_hellinger_between_identical_windows_has_no_gradient(engine: str) -> None:
    target = photograph('astronaut', 24)
    pred = target.clone()
    pred[..., 12:] = noisy(pred[..., 12:], 0.05).clamp(0, 1)
    options = {'distance': 'hellinger', 'levels': 32, 'windows': (1, 3, 5), 'engine': engine}
    loss, gradient = loss_and_gradient(target, target, **options)
    assert loss == 0
    assert (gradient == 0).all()
    _, gradient = loss_and_gradient(pred, target, **options)
    # The neighbours' mean carries a difference 1 pixel, a window of 5 from its centre 2, and the derivative back 3.
    assert (gradient[..., :6] == 0).all()
    assert (gradient[..., 12:] != 0).float().mean() > 0.9


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    target = photograph('china', 16).to(dtype)
    pred = noisy(photograph('china', 16), 0.05).to(dtype)
    options = {'distance': 'relative_entropy', 'levels': 16, 'windows': (1, 5)}
    expected_loss, expected_gradient = loss_and_gradient(pred.float(), target.float(), **options)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, gradient = loss_and_gradient(pred, target, **options)
    assert loss.dtype == torch.float32
    assert loss == expected_loss
    assert torch.equal(gradient, expected_gradient.to(dtype))


def test_reductions() -> None:
    target = torch.cat([photograph('china', 12), photograph('rocket', 12)])
    pred = noisy(target, 0.1)
    options = {'distance': 'hellinger', 'levels': 8, 'windows': (3,)}
    each = spatial_entropy(pred, target, **options, reduction='none')
    alone = [spatial_entropy(pred[k : k + 1], target[k : k + 1], **options) for k in (0, 1)]
    assert each.tolist() == pytest.approx([loss.item() for loss in alone])
    assert spatial_entropy(pred, target, **options).item() == pytest.approx(each.mean().item())
    assert spatial_entropy(pred, target, **options, reduction='sum').item() == pytest.approx(each.sum().item())


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('generalised', [False, True])
def test_gradcheck(distance: str, generalised: bool) -> None:
    if generalised and distance != 'relative_entropy':
        pytest.skip('generalised belongs to the relative entropy')
    generator = torch.Generator().manual_seed(0)
    pred, target = (torch.rand(2, 2, 4, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    pred.requires_grad_()
    options = {'distance': distance, 'levels': 6, 'windows': (1, 3), 'generalised': generalised, 'reduction': 'none'}
    assert torch.autograd.gradcheck(lambda x: spatial_entropy(x, target, **options), pred)


def squared_gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), x)[0]


def tangent(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(loss(forward_ad.make_dual(x, torch.ones_like(x)))).tangent


NOT_IMPLEMENTED: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], Any]] = {
    'gradient penalty': squared_gradient,
    'gradient penalty of the square': lambda loss, x: squared_gradient(lambda x: loss(x) ** 2, x),
    'autograd.hessian': torch.autograd.functional.hessian,
    'autograd.hvp': lambda loss, x: torch.autograd.functional.hvp(loss, x, torch.ones_like(x)),
    'autograd.jvp': lambda loss, x: torch.autograd.functional.jvp(loss, x, torch.ones_like(x)),
    'forward_ad': tangent,
    'jvp': lambda loss, x: torch.func.jvp(loss, (x,), (torch.ones_like(x),)),
    'jacfwd': lambda loss, x: torch.func.jacfwd(loss)(x),
    'linearize': lambda loss, x: torch.func.linearize(loss, x),
    'hessian': lambda loss, x: torch.func.hessian(loss)(x),
    'jacrev of grad': lambda loss, x: torch.func.jacrev(torch.func.grad(loss))(x),
    'jvp of grad': lambda loss, x: torch.func.jvp(torch.func.grad(loss), (x,), (torch.ones_like(x),)),
}


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('generalised', [False, True])
@pytest.mark.parametrize('way', NOT_IMPLEMENTED)
def test_second_derivatives_and_forward_mode_are_refused_in_one_line(way: str, generalised: bool, engine: str) -> None:
    options = {'distance': 'relative_entropy', 'levels': 4, 'windows': (1,)}

    def loss(x: Tensor) -> Tensor:
        return spatial_entropy(x, target, generalised=generalised, engine=engine, **options)

    pred, target = torch.rand(2, 1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(
        InputError, match=r'^The spatial entropy has no second derivatives and none in forward mode .*$'
    ):
        NOT_IMPLEMENTED[way](loss, pred)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('generalised', [False, True])
def test_first_derivatives_by_transforms_are_those_of_backward(generalised: bool, engine: str) -> None:
    options = {'distance': 'relative_entropy', 'levels': 4, 'windows': (1, 3), 'engine': engine}
    target, *preds = torch.rand(3, 1, 3, 6, 6, generator=torch.Generator().manual_seed(0))

    def loss(x: Tensor) -> Tensor:
        return spatial_entropy(x, target, generalised=generalised, **options)

    expected = [loss_and_gradient(pred, target, generalised=generalised, **options)[1] for pred in preds]
    torch.testing.assert_close(torch.func.grad(loss)(preds[0]), expected[0])
    torch.testing.assert_close(torch.func.jacrev(loss)(preds[0]), expected[0])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(torch.stack(preds)), torch.stack(expected))


@pytest.mark.parametrize('dynamic', [None, True])
@pytest.mark.parametrize('options', [{}, {'generalised': True, 'clamp': False}], ids=str)
def test_compiles_without_graph_breaks(options: dict[str, Any], dynamic: bool | None) -> None:
    target = photograph('wine', 12)
    pred = noisy(target, 0.1).requires_grad_()

    def step(x: Tensor, y: Tensor) -> Tensor:
        return spatial_entropy(2 * x, y, distance='relative_entropy', levels=8, windows=(1, 3), **options)

    compiled = torch.compile(step, fullgraph=True, dynamic=dynamic, backend='aot_eager')
    assert compiled(pred, target) == step(pred, target)
    expected, found = (torch.autograd.grad(f(pred, target), pred)[0] for f in (step, compiled))
    assert relative_error(found, expected.double()) < 1e-6


def test_core_works_without_basicsr() -> None:
    code = (
        'import sys; sys.modules["basicsr"] = None\n'
        'import torch\n'
        'from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy\n'
        'x = torch.rand(1, 3, 8, 8)\n'
        'assert spatial_entropy(x, x, distance="hellinger", levels=8, windows=[1, 3]) == 0\n'
        'assert "torch._dynamo" not in sys.modules, "the compiler costs 170 MB"\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'distance': 'helinger'}, "distance: unknown 'helinger'. Did you mean 'hellinger'?"),
        ({'levels': 1}, 'levels: 1 '),
        ({'levels': 8.0}, 'levels: 8.0 '),
        ({'windows': (1, 4)}, r'windows: \(1, 4\) '),
        ({'windows': ()}, r'windows: \(\) '),
        ({'windows': 3}, 'windows: 3 '),
        ({'windows': (3, 3)}, 'twice'),
        ({'windows': (3, 2**32 + 5)}, 'wider than 1023 pixels'),
        ({'bandwidth': 0}, 'bandwidth: 0 '),
        ({'bandwidth': 1e30}, r'bandwidth: 1e\+30 is not a number of at least 0.01 and at most 100'),
        ({'bandwidth': float('nan')}, 'bandwidth: nan '),
        ({'hellinger_epsilon': 0}, 'hellinger_epsilon: 0 '),
        ({'hellinger_epsilon': 1e-60}, 'hellinger_epsilon: 1e-60 is not a number of at least 1e-30 and at most 1'),
        ({'subtract_local_mean': 4}, 'subtract_local_mean: 4 is neither 0 nor an odd number from 3 to 1023'),
        ({'subtract_local_mean': 1}, 'subtract_local_mean: 1 is neither 0 nor'),
        ({'subtract_local_mean': False}, 'subtract_local_mean: False is neither 0 nor'),
        ({'subtract_local_mean': 15}, r'intensity_range: without their local mean .* such as \[-0\.25, 0\.25\]'),
        ({'intensity_range': (1, 0)}, r'intensity_range: \(1, 0\) '),
        ({'intensity_range': 1}, 'intensity_range: 1 '),
        ({'neighbour_normalisation': 'channel'}, "neighbour_normalisation: unknown 'channel'"),
        ({'engine': 'cuda'}, "engine: unknown 'cuda'. Valid names: auto, native, torch, triton."),
        ({'reduction': 'average'}, "reduction: unknown 'average'"),
        ({'neighbour_weights': 'mean'}, "neighbour_weights: 'mean' is neither a tensor"),
        ({'neighbour_weights': torch.ones(4)}, r'neighbour_weights: tensor\(\[1., 1., 1., 1.\]\) is neither a tensor'),
        ({'clamp': 'no'}, "clamp: 'no' is not true or false"),
        ({'generalised': True}, "generalised: only for 'relative_entropy'"),
        ({'generalised': True, 'distance': 'relative_entropy', 'normalise_density': True}, 'choose one'),
        ({'pred': torch.zeros(1, 3, 8, 7)}, r'shapes \(1, 3, 8, 7\) and \(1, 3, 8, 8\)'),
        ({'pred': torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, 'torch.uint8'),
    ],
    ids=str,
)
def test_wrong_options_say_so_in_one_line(changes: dict[str, Any], message: str) -> None:
    options = {'pred': torch.zeros(1, 3, 8, 8), 'distance': 'hellinger', 'levels': 8, 'windows': (1, 3), **changes}
    with pytest.raises(InputError, match=message) as caught:
        spatial_entropy(options.pop('pred'), torch.zeros(1, 3, 8, 8), **options)
    assert '\n' not in str(caught.value)


@pytest.fixture
def engine_log(log: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the choice of an engine logs, as if none had been chosen before."""
    operator._log_once.cache_clear()
    yield log
    operator._log_once.cache_clear()


def test_the_choice_of_an_engine_is_reported_without_alarm(engine_log: pytest.LogCaptureFixture) -> None:
    engine_log.set_level(logging.INFO, 'basicsr.spatial_entropy')
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    spatial_entropy(x, x, distance='hellinger', levels=8, windows=(1,))
    assert engine_log.records[0].levelno == logging.INFO
    assert "engine 'auto' uses 'torch'; 'native' cannot be used: it computes in float32" in engine_log.text


def test_missing_native_engine_is_named_and_never_silent(
    monkeypatch: pytest.MonkeyPatch, engine_log: pytest.LogCaptureFixture
) -> None:
    # Stands in for a machine on which the library was not built.
    monkeypatch.setattr(native_engine, 'why_unavailable', lambda: 'it was not built')
    x = torch.rand(1, 1, 8, 8)
    options = {'distance': 'hellinger', 'levels': 8, 'windows': (1,)}
    with pytest.raises(InputError, match=r"engine 'native' cannot be used: it was not built\. Use"):
        spatial_entropy(x, x, **options, engine='native')
    spatial_entropy(x, x, **options)
    spatial_entropy(x, x, **options)
    (record, *again) = engine_log.records
    assert all(other is record for other in again)  # one record, however many handlers it reached
    assert record.levelno == logging.WARNING
    assert record.message == "Spatial entropy: engine 'auto' uses 'torch'; 'native' cannot be used: it was not built."
