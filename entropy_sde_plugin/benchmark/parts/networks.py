"""Output and gradient of every network architecture, against the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from entropy_sde_plugin.benchmark.comparing import compared, without_tf32
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.networks.architectures import ARCHITECTURES, Architecture

ALLOWED = {'fp32': 1e-4, 'TF32': 1e-2, 'bf16': 1e-1}
"""Relative, in the L2 norm: sums in another order, factors of 10 and of 7 bits."""

SMALL: dict[str, dict[str, Any]] = {
    'ConditionalNAFNet': {'width': 16, 'enc_blk_nums': [1, 2], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]},
    'LLDiffusionNet': {'ch': 32, 'ch_mult': [1] * 6, 'num_res_blocks': 1, 'enc_ch': 4},
}
"""Arguments of networks whose defaults are large."""


def rows(settings: Settings) -> Iterator[Row]:
    """Compare every network in float32; on a GPU under TF32 and bfloat16 too."""
    precisions = ['fp32', 'TF32', 'bf16'] if settings.device == 'cuda' else ['fp32']
    cases = {
        f'{architecture.name}, {precision}': (architecture, precision)
        for architecture in ARCHITECTURES
        for precision in precisions
    }
    yield from attempts(cases, lambda name: _compare(name, *cases[name], torch.device(settings.device)))


def _compare(name: str, architecture: Architecture, precision: str, device: torch.device) -> Row:
    network = random_network(architecture)
    inputs = example_inputs(architecture)
    expected = output_and_gradient(network, inputs)
    network = network.to(device)
    with without_tf32() if precision == 'fp32' else torch.autocast(device.type, torch.bfloat16, precision == 'bf16'):
        found = output_and_gradient(network, [value.to(device) for value in inputs])
    return compared(name, found, expected, ALLOWED[precision])


def random_network(architecture: Architecture) -> nn.Module:
    """A network without identity blocks: at the start of a training some blocks are the identity."""
    torch.manual_seed(0)
    network = architecture.network(**SMALL.get(architecture.name, {}))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) if parameter.dim() == 1 or not parameter.any() else 0)
    return network.eval()


def example_inputs(architecture: Architecture) -> list[Tensor]:
    """What a network is called with: planes of a raw image, or a state, a dark image and times."""
    generator = torch.Generator().manual_seed(0)
    if architecture.for_raw_inference is not None:
        return [torch.rand(2, 8, 64, 64, generator=generator)]
    state, dark = (torch.rand(2, 3, 64, 64, generator=generator) for _ in range(2))
    return [state, dark, torch.tensor([7.0, 40.0])]


def output_and_gradient(network: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A network's image, and the gradient of the image's mean square with respect to the weights."""
    output = network(*inputs)
    image = output[0] if isinstance(output, tuple) else output
    gradients = torch.autograd.grad(image.square().mean(), list(network.parameters()), allow_unused=True)
    return image.detach(), torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
