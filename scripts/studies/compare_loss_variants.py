"""What the variants of the spatial entropy loss bring: images recovered from bad starts by gradient descent alone.

An image is the middle of a photograph of the package. It starts blurred and noisy, very noisy or dark, and Adam moves
its pixels under the loss against the true image, with a learning rate that falls to 0: no network, no diffusion, so
that what is missing at the end the loss did not see. The first table is the PSNR reached in dB, mean (worst) over
photographs and seeds; the second the share of pixels that a loss gives no gradient in a training of the diffusion; the
third the Hellinger distance's gradient between nearly identical images; the fourth the losses' values at other kernel
widths; the last how steeply a loss falls from a dark image towards the true one. `--tables` chooses among them,
`--only` among the first one's rows.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from entropy_sde_plugin.data.augmentation import middle
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.demo.photographs import HELD_OUT, photograph
from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss

PHOTOGRAPHS = HELD_OUT[:4]
LEARNING_RATE = 0.02
#: Levels of the first, second and last third of the iterations.
REFINING = (8, 16, 32)

HELLINGER = {'distance': 'hellinger'}
RELATIVE = {'distance': 'relative_entropy'}
WIDE = {'intensity_range': (-0.5, 1.5)}
NO_CLAMP = {'clamp': False}
GENERALISED = {**RELATIVE, 'generalised': True}
REFINED = {'levels': REFINING}

#: Options of SpatialEntropyLoss beside its defaults, which are the published ones; None is L1.
VARIANTS: dict[str, dict[str, Any] | None] = {
    'L1, for comparison': None,
    'published: Hellinger 1-3-5': HELLINGER,
    'published: Hellinger 11': {**HELLINGER, 'windows': (11,)},
    'published: relative entropy 1-3-5': RELATIVE,
    'published: relative entropy 11': {**RELATIVE, 'windows': (11,)},
    'Hellinger, `hellinger_epsilon` 1e-4': {**HELLINGER, 'hellinger_epsilon': 1e-4},
    'Hellinger, no clamp, refining levels': {**HELLINGER, **NO_CLAMP, **REFINED},
    'relative entropy, no clamp': {**RELATIVE, **NO_CLAMP},
    'relative entropy, wide range': {**RELATIVE, **WIDE},
    'relative entropy, normalised density': {**RELATIVE, 'normalise_density': True},
    'relative entropy, h = 1': {**RELATIVE, 'bandwidth': 1.0},
    'relative entropy, h = 1, normalised density': {**RELATIVE, 'bandwidth': 1.0, 'normalise_density': True},
    'relative entropy, generalised': GENERALISED,
    'relative entropy, refining levels': {**RELATIVE, **REFINED},
    'relative entropy, generalised, no clamp': {**GENERALISED, **NO_CLAMP},
    'relative entropy, generalised, no clamp, refining levels': {**GENERALISED, **NO_CLAMP, **REFINED},
}

TIMES = (100, 80, 50, 20)
DEVIATIONS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EPSILONS = (1e-10, 1e-6, 1e-4)
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0)
TABLES = ('recovery', 'without-gradient', 'near-identical', 'bandwidths', 'far')
LIGHT = (0.9, 0.7, 0.5, 0.3, 0.1)
FAR: dict[str, dict[str, Any] | None] = {
    'L1': None,
    **{f'Hellinger, {levels} levels': {**HELLINGER, 'levels': levels} for levels in (64, 32, 16, 8)},
    **{f'relative entropy, {levels} levels': {**RELATIVE, 'levels': levels} for levels in (64, 32, 16, 8)},
    **{f'the same, generalised, {levels} levels': {**GENERALISED, 'levels': levels} for levels in (32, 8)},
}
FORMS = {'published clamp to [0, 1]': {}, 'wide range [-0.5, 1.5]': WIDE, 'no clamp': NO_CLAMP}


def crops(side: int) -> Tensor:
    """Return the middles of the photographs, (photographs, 3, side, side) in [0, 1]."""
    return torch.stack([torch.tensor(middle(photograph(name), side)).permute(2, 0, 1) / 255 for name in PHOTOGRAPHS])


def blurred(truth: Tensor, generator: torch.Generator) -> Tensor:
    smooth = [cv2.GaussianBlur(image.permute(1, 2, 0).numpy(), (0, 0), sigmaX=1) for image in truth]
    return torch.tensor(np.stack(smooth)).permute(0, 3, 1, 2) + 0.03 * torch.randn(truth.shape, generator=generator)


def noisy(truth: Tensor, generator: torch.Generator) -> Tensor:
    return truth + 0.3 * torch.randn(truth.shape, generator=generator)


def dark(truth: Tensor, generator: torch.Generator) -> Tensor:
    return 0.3 * truth + 0.01 * torch.randn(truth.shape, generator=generator)


STARTS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    'blur + noise': blurred,
    'noise 0.3': noisy,
    'dark x0.3': dark,
}


def starts(side: int, seeds: int) -> tuple[Tensor, Tensor]:
    """The starting images, start by start, and the true ones: (starts x seeds x photographs, 3, side, side)."""
    truth = crops(side)
    images = [start(truth, torch.Generator().manual_seed(seed)) for start in STARTS.values() for seed in range(seeds)]
    return torch.cat(images), truth.repeat(len(images), 1, 1, 1)


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """PSNR in dB of each image, clipped to [0, 1] as when it is written; at most 120."""
    error = (image.clamp(0, 1) - truth).double().square().mean((1, 2, 3))
    return -10 * error.clamp(min=1e-12).log10()


def recover(variant: str, side: int, seeds: int, iterations: int) -> Tensor:
    """Descend from all starts at once, each by itself: neither the summed loss nor Adam couples images.

    Returns:
        PSNR reached, (starts, seeds x photographs).
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, truth = starts(side, seeds)
    options = VARIANTS[variant]
    loss: Any = torch.nn.L1Loss(reduction='sum')
    if options is not None:
        steps = options.get('levels', REFINING[-1:])
        levels = [[k * iterations // len(steps), count] for k, count in enumerate(steps)]
        loss = SpatialEntropyLoss(**{**options, 'levels': levels}, reduction='sum')
    optimiser = torch.optim.Adam([images.requires_grad_()], lr=LEARNING_RATE)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for iteration in range(iterations):
        if options is not None:
            loss.update(iteration)
        optimiser.zero_grad()
        loss(images, truth).backward()
        optimiser.step()
        scheduler.step()
    return psnr(images.detach(), truth).view(len(STARTS), -1)


def without_gradient(options: dict[str, Any], t: int) -> float:
    """Share of pixels that get no gradient where the training compares its states at time ``t``.

    The prediction is the state of a network that does not know the noise yet and predicts 0, the mean a photograph at
    a twentieth of the light.
    """
    truth = crops(64)
    rng = np.random.default_rng(0)
    bright = (255 * truth).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    mu = torch.tensor(darken(bright, exposure=0.05, rng=rng)).permute(0, 3, 1, 2) / 255
    process = IRSDE()
    mean, std = process.marginal(truth, mu, t)
    state = mean + std * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    predicted = process.reverse_sde_mean(state, mu, torch.zeros_like(state), t).requires_grad_()
    loss = SpatialEntropyLoss(**options, neighbour_weights='mean')
    loss(predicted, process.optimal_step(state, truth, mu, t)).backward()
    assert predicted.grad is not None
    return (predicted.grad == 0).float().mean().item()


def near_identical(epsilon: float, deviation: float) -> tuple[float, float]:
    """Norm of the Hellinger distance's gradient between an image and the same with noise of ``deviation``.

    Returns:
        The norm in double precision, and how far single precision is off, relatively.
    """
    truth = crops(64).clamp(0.1, 0.9)
    near = truth + deviation * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {**HELLINGER, 'hellinger_epsilon': epsilon, 'neighbour_weights': 'mean'}
    loss = SpatialEntropyLoss(**options)
    gradients = []
    for dtype in (torch.float64, torch.float32):
        predicted = near.to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(predicted, truth.to(dtype)), predicted)
        gradients.append(gradient.double())
    exact, single = gradients
    return exact.norm().item(), ((single - exact).norm() / exact.norm()).item()


def value(options: dict[str, Any]) -> float:
    """The loss between photographs and the same with noise of deviation 0.1."""
    truth = crops(64)
    other = truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return SpatialEntropyLoss(**options, neighbour_weights='mean')(other, truth).item()


def steepness(options: dict[str, Any] | None, light: float) -> float:
    """How a loss falls at a darker image on the straight way to the true one, as a share of its fall on all of it.

    Returns:
        1 where it falls evenly, as L1 does; 0 where the image is too far off for it; below 0 where it leads away.
    """
    truth = crops(64)
    dark = light * truth
    loss = torch.nn.L1Loss() if options is None else SpatialEntropyLoss(**options, neighbour_weights='mean')
    way = torch.zeros((), requires_grad=True)
    there = loss(dark + way * (truth - dark), truth)
    (slope,) = torch.autograd.grad(there, way)
    return (-slope / (there - loss(truth, truth))).item()


def print_header(*names: str) -> None:
    print_row(*names)
    print_row(*['---'] * len(names))


def print_row(*cells: str) -> None:
    print(f'| {" | ".join(cells)} |', flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--side', type=int, default=32, help='of the images, in pixels')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--iterations', type=int, default=200)
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='variants at a time, a thread each')
    parser.add_argument('--tables', nargs='+', choices=TABLES, default=TABLES)
    parser.add_argument('--only', default='', metavar='TEXT', help="the first table's rows whose names contain it")
    options = parser.parse_args()
    show = {
        'recovery': functools.partial(show_recovery, options),
        'without-gradient': show_without_gradient,
        'near-identical': show_near_identical,
        'bandwidths': show_bandwidths,
        'far': show_far,
    }
    for table in options.tables:
        show[table]()
        print()


def show_recovery(options: argparse.Namespace) -> None:
    images, truth = starts(options.side, options.seeds)
    print(f'{len(PHOTOGRAPHS)} photographs, {options.side}x{options.side}, {options.seeds} seeds, ', end='')
    print(f'Adam, {options.iterations} iterations\n')
    print_header('loss', *STARTS)
    print_row('the start itself', *summaries(psnr(images, truth).view(len(STARTS), -1)))
    work = functools.partial(recover, side=options.side, seeds=options.seeds, iterations=options.iterations)
    variants = [variant for variant in VARIANTS if options.only in variant]
    with ProcessPoolExecutor(options.workers) as pool:
        for variant, reached in zip(variants, pool.map(work, variants), strict=True):
            print_row(variant, *summaries(reached))


def show_without_gradient() -> None:
    print_header('pixels without gradient', *[f't = {t}' for t in TIMES])
    for distance in (HELLINGER, RELATIVE):
        for name, form in FORMS.items():
            shares = [without_gradient({**distance, **form}, t) for t in TIMES]
            print_row(f'{distance["distance"]}, {name}', *[f'{100 * share:.1f}%' for share in shares])


def show_near_identical() -> None:
    print_header('gradient norm (error in float32)', *[f'noise {deviation:g}' for deviation in DEVIATIONS])
    for epsilon in EPSILONS:
        found = [near_identical(epsilon, deviation) for deviation in DEVIATIONS]
        print_row(f'`hellinger_epsilon: {epsilon:g}`', *[f'{norm:.2g} ({error:.0e})' for norm, error in found])


def show_bandwidths() -> None:
    print_header('value of the loss', *[f'h = {bandwidth:g}' for bandwidth in BANDWIDTHS])
    for distance in (HELLINGER, RELATIVE):
        for name, form in {'published': {}, '`normalise_density`': {'normalise_density': True}}.items():
            values = [value({**distance, **form, 'bandwidth': bandwidth}) for bandwidth in BANDWIDTHS]
            print_row(f'{distance["distance"]}, {name}', *[f'{found:.3f}' for found in values])


def show_far() -> None:
    print_header('steepness at a darker image', *[f'x{light:g}' for light in LIGHT])
    for name, options in FAR.items():
        print_row(name, *[f'{steepness(options, light):.2f}' for light in LIGHT])


def summaries(found: Tensor) -> list[str]:
    """Mean (worst) of each start."""
    return [f'{values.mean():.1f} ({values.min():.1f})' for values in found]


if __name__ == '__main__':
    main()
