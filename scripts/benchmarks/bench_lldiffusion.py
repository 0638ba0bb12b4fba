"""LLDiffusion's sampling against the release's way of working, and its tiles against the whole image.

    python scripts/benchmarks/bench_lldiffusion.py

Steps of DDIM on a 600x400 image with the network for LOL, of random weights unless `--model` names some. As released
means: encoder and colour map at every step, attention with its matrix of scores, an image padded to 640x416, patches
at a stride of 16. Tiles work on an image of 1200x800, and on one of 6000x4000 for the memory alone. Each case has a
process of its own, one after the other. Memory is what is resident above the network and the image. Results are
compared where the noise is the same: by the L2 norm of the difference and, with trained weights, its largest value and
the seam: the largest step of its mean from a row or column to the next.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, multiprocessing
from torch.nn import functional

from entropy_sde_plugin.benchmark.memory import reset_peak, resident
from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.diffusion import DDPM
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import ddim, standard_normal
from entropy_sde_plugin.networks import LLDiffusionNet, lldiffusion_inference
from entropy_sde_plugin.networks.lldiffusion_inference import Patches, WholeOrTiles
from entropy_sde_plugin.networks.padding import reflect_to

NETWORKS = {
    'lol': {},
    'small': {'ch': 32, 'ch_mult': [1, 1, 1, 2, 2, 2], 'num_res_blocks': 1, 'enc_ch': 4},
}
Forward = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Case:
    """One way of sampling.

    Attributes:
        forward: What it makes of a network.
        size: Height and width of the padded image.
        image: Height and width of the image.
        released: Whether it works as the release does.
    """

    forward: Callable[[LLDiffusionNet], Forward]
    size: tuple[int, int] = (400, 600)
    image: tuple[int, int] = (400, 600)
    released: bool = False


def first_tile_only(network: LLDiffusionNet) -> Forward:
    """Tiles of which the denoiser computes the first and takes the others for zero: the memory of all, in a minute."""
    denoise = network.diff_unet.forward

    def once(x: Tensor, *known: Any) -> Tensor:
        network.diff_unet.forward = lambda x, *_: torch.zeros_like(x[:, :3])  # pyright: ignore[reportAttributeAccessIssue]
        return denoise(x, *known)

    network.diff_unet.forward = once  # pyright: ignore[reportAttributeAccessIssue]
    return WholeOrTiles(network)


LARGE, CAMERA = (800, 1200), (4000, 6000)
CASES = {
    'whole, as released': Case(lambda network: network, (416, 640), released=True),
    'whole, padded as released': Case(WholeOrTiles, (416, 640)),
    'whole': Case(WholeOrTiles),
    'patches, stride 16, as released': Case(partial(Patches, stride=16), released=True),
    'patches, stride 16': Case(partial(Patches, stride=16)),
    'patches, stride 32': Case(partial(Patches, stride=32)),
    'whole, 1200x800': Case(partial(WholeOrTiles, tile=0), LARGE, LARGE),
    'tiles of 512, 1200x800': Case(partial(WholeOrTiles, tile=512), LARGE, LARGE),
    '6000x4000, one tile computed': Case(first_tile_only, CAMERA, CAMERA),
}
BASELINES = ('whole, as released', 'patches, stride 16, as released', 'whole, 1200x800')
"""What the cases that follow are compared with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--network', choices=NETWORKS, default='lol', help='its size [%(default)s]')
    parser.add_argument('--model', type=Path, help='weights to sample with, instead of random ones')
    parser.add_argument('--steps', type=int, default=2, help='of the sampling [%(default)s]')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), help='[all]')
    options = parser.parse_args()
    print(f'CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}, {options.steps} steps\n')
    titles = 'case | seconds | times faster | memory, MB | relative difference | largest, 1/255 | seam, 1/255'
    print(f'| {titles} |\n' + '|---' * 7 + '|')
    baseline: Measured | None = None
    for name in options.cases:
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
            measured = pool.submit(measure, name, options, torch.get_num_threads()).result()
        baseline = measured if baseline is None or name in BASELINES else baseline
        cells = costs(measured, baseline) + differences(measured, baseline, trained=options.model is not None)
        print(f'| {name} | {" | ".join(cells)} |', flush=True)


@dataclass(frozen=True)
class Measured:
    """What sampling took, and its result.

    Attributes:
        seconds: For all steps.
        memory: Bytes at the peak.
        canvas: Height and width of the padded image, which decide the noise.
        result: (1, 3, H, W) in [0, 1], without padding.
    """

    seconds: float
    memory: int
    canvas: tuple[int, int]
    result: Tensor


def measure(name: str, options: argparse.Namespace, threads: int) -> Measured:
    """Sample in this process, which has done nothing else."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    case, process = CASES[name], DDPM()
    network, prediction = LLDiffusionNet(**NETWORKS[options.network]).eval(), 'noise'
    if options.model is not None:
        model = load_model(options.model)
        network, process, prediction = model.network, model.process, model.prediction
    cond = reflect_to(process.from_unit(dark_image(*case.image)), *case.size)
    forward = case.forward(network)  # pyright: ignore[reportArgumentType]
    before, start = reset_peak(), time.perf_counter()
    with torch.inference_mode(), as_released() if case.released else contextlib.nullcontext():
        denoiser = NetworkDenoiser(forward, process, prediction)
        times = process.time_grid(options.steps)
        noise = standard_normal(torch.Generator().manual_seed(0))
        result = ddim(denoiser, process, cond, times, noise=noise, clip=options.model is not None)
    seconds, memory = time.perf_counter() - start, resident('VmHWM') - before
    return Measured(seconds, memory, case.size, process.to_unit(result)[..., : case.image[0], : case.image[1]].clone())


def costs(measured: Measured, baseline: Measured) -> list[str]:
    """Time and memory of a case."""
    faster = baseline.seconds / measured.seconds
    return [f'{measured.seconds:.1f}', f'{faster:.2f}', f'{measured.memory / 1e6:.0f}']


def differences(measured: Measured, baseline: Measured, trained: bool) -> list[str]:
    """How far a case's result is from the baseline's."""
    if measured.canvas != baseline.canvas:
        return ['–'] * 3
    difference = measured.result - baseline.result
    cells = [f'{difference.norm() / baseline.result.norm():.2g}']
    of_rows, of_columns = (difference.mean(dim=(0, 1, along)) for along in (3, 2))
    seam = max(means.diff().abs().max() for means in (of_rows, of_columns))
    return cells + ([f'{255 * value:.2f}' for value in (difference.abs().max(), seam)] if trained else ['–'] * 2)


@contextlib.contextmanager
def as_released() -> Iterator[None]:
    """Let attention hold its scores, and nothing be kept from one step to the next."""
    with (
        mock.patch.object(functional, 'scaled_dot_product_attention', plain_attention),
        mock.patch.object(lldiffusion_inference, 'KEPT_BYTES', 0),
    ):
        yield


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention as its formula reads: one head, (B, 1, N, C)."""
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    return scores.softmax(3) @ value


def dark_image(height: int, width: int) -> Tensor:
    """A smooth image with some grain, (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    smooth = functional.interpolate(torch.rand(1, 3, 25, 38, generator=generator), (height, width), mode='bicubic')
    return (0.2 * smooth + 0.01 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


if __name__ == '__main__':
    main()
