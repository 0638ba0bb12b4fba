"""Speed of the network's forward pass, and what the samplers give at how many steps, on a trained model.

    python scripts/benchmarks/bench_sampling.py --model entropy_sde_demo/experiments/demo/models/net_g_latest.pth

Forward pass: a 600x400 image, the plain network in eager float32 against the strips that enhancement uses, in turns,
the fastest of each; and how far the restored x0 is from the plain network's. Samplers: means over the demonstration's
held-out photographs, PSNR and SSIM as BasicSR's, LPIPS as the lpips package's AlexNet (where there is no
internet, `scripts/tools/fetch_metric_weights.py` brings its weights).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from entropy_sde_plugin import register

register()

from basicsr.metrics import calculate_psnr, calculate_ssim  # noqa: E402
from tqdm import tqdm  # noqa: E402

from entropy_sde_plugin.checkpoints.model import Model, load_model  # noqa: E402
from entropy_sde_plugin.data.augmentation import middle  # noqa: E402
from entropy_sde_plugin.data.lmdb import LmdbReader  # noqa: E402
from entropy_sde_plugin.demo.photographs import EXPOSURES, HELD_OUT, pair_key, write_demo_databases  # noqa: E402
from entropy_sde_plugin.diffusion.samplers import SAMPLERS  # noqa: E402
from entropy_sde_plugin.inference.enhancer import Enhancer  # noqa: E402
from entropy_sde_plugin.metrics.perceptual import calculate_lpips  # noqa: E402
from entropy_sde_plugin.networks.architectures import architecture_of_network  # noqa: E402

STEPS = (1, 2, 4, 8, 16, 32, 100)
SIZE = (400, 600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, required=True)
    parser.add_argument(
        '--data', type=Path, default=Path('bench_sampling_data'), help='where the pairs go [%(default)s]'
    )
    parser.add_argument('--samplers', nargs='+', choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument('--steps', nargs='+', type=int, default=STEPS)
    parser.add_argument('--exposures', nargs='+', type=float, choices=EXPOSURES, default=EXPOSURES)
    parser.add_argument(
        '--crop', type=int, default=256, help='side of the middle of a photograph that is taken, 0: all'
    )
    parser.add_argument('--compile', action='store_true', help='time the compiled network too')
    parser.add_argument('--only', choices=('forward', 'samplers'))
    parser.add_argument('--repeats', type=int, default=10)
    options = parser.parse_args()
    print(f'CPU, {torch.get_num_threads()} threads, PyTorch {torch.__version__}')
    if options.only != 'samplers':
        forward(load_model(options.model), options.repeats, options.compile)
    if options.only != 'forward':
        samplers(options)


@torch.inference_mode()
def forward(model: Model, repeats: int, compiled: bool) -> None:
    """Print the time of a network call in each form."""
    architecture = architecture_of_network(model.network)
    for_inference = architecture.for_inference
    if for_inference is None:
        sys.exit(f'A {architecture.name} restores raw images, which this benchmark does not have.')
    network, process, t = model.network, model.process, len(model.process.times) // 2
    generator = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.interpolate(torch.rand(1, 3, 25, 38, generator=generator), SIZE, mode='bicubic')
    mu = truth.clamp(0, 1) * 0.2
    mean, std = process.marginal(truth.clamp(0, 1), mu, t)
    x = mean + std * torch.randn(mean.shape, generator=generator)
    forms: dict[str, Callable[[], torch.Tensor]] = {'plain, float32': lambda: network(x, mu, t)}
    for name, dtype in {'float32': torch.float32, 'bfloat16': torch.bfloat16}.items():
        for tile in (0, 128):
            strips = for_inference(network, tile=tile, dtype=dtype)
            forms[f'strips, {name}, tile {tile}'] = lambda strips=strips: strips(x, mu, t)
        if compiled:
            fused = for_inference(network, tile=128, dtype=dtype, compile=True)
            forms[f'strips, {name}, tile 128, compiled'] = lambda strips=fused: strips(x, mu, t)
    times: dict[str, list[float]] = {name: [] for name in forms}
    outputs = {name: form() for name, form in forms.items()}
    for _ in range(repeats):
        for name, form in forms.items():
            start = time.perf_counter()
            form()
            times[name].append(time.perf_counter() - start)
    plain = min(times['plain, float32'])
    print('\n| network, 600x400 | seconds | times faster | mean difference, 1/255 |\n|---|---|---|---|')
    for name, seconds in times.items():
        difference = (outputs[name] - outputs['plain, float32']).abs().mean().item() * 255
        print(f'| {name} | {min(seconds):.3f} | {plain / min(seconds):.2f} | {difference:.3f} |')


def samplers(options: argparse.Namespace) -> None:
    """Print quality and time of each sampler at each number of steps."""
    if not options.data.exists():
        write_demo_databases(options.data)
    dark, truth = (LmdbReader(options.data / f'val_{kind}.lmdb') for kind in ('lq', 'gt'))
    keys = [pair_key(name, exposure) for name in HELD_OUT for exposure in options.exposures]
    cut = partial(middle, side=options.crop) if options.crop else lambda image: image
    pairs = [tuple(cut(source.image(key)) for source in (dark, truth)) for key in keys]
    size = f'their middle {options.crop}x{options.crop}' if options.crop else 'whole'
    print(f'\n{len(keys)} images, {size}, exposures {", ".join(map(str, options.exposures))}, seed 0\n')
    print('| sampler | steps | PSNR, dB | SSIM | LPIPS | brightness error | seconds an image |\n' + '|---' * 7 + '|')
    for name in options.samplers:
        for steps in options.steps:
            enhancer = Enhancer.from_file(options.model, sampler=name, steps=steps)
            rows, seconds = [], 0.0
            for low, high in tqdm(pairs, desc=f'{name}, {steps}', leave=False):
                start = time.perf_counter()
                restored = enhancer.enhance(low)
                seconds += time.perf_counter() - start
                rows.append(
                    (
                        calculate_psnr(restored, high, crop_border=0),
                        calculate_ssim(restored, high, crop_border=0),
                        calculate_lpips(restored[..., ::-1], high[..., ::-1]),
                        (restored.mean() - high.mean()) / 255,
                    )
                )
            psnr, ssim, lpips, brightness = np.mean(rows, axis=0)
            cells = f'{psnr:.2f} | {ssim:.3f} | {lpips:.3f} | {brightness:+.3f} | {seconds / len(pairs):.2f}'
            print(f'| {name} | {steps} | {cells} |', flush=True)


if __name__ == '__main__':
    main()
