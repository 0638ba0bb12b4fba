"""Value and gradient of the spatial entropy by every engine, against PyTorch's in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from entropy_sde_plugin.benchmark.comparing import compared
from entropy_sde_plugin.benchmark.loss_cases import Case
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.operator import choose_engine
from entropy_sde_plugin.losses.spatial_entropy.triton.first_use import interpreted

ALLOWED = 1e-5
"""Relative, in the L2 norm; products in TF32 are off by more than 1e-4."""


def rows(settings: Settings) -> Iterator[Row]:
    """Compare every distance by every engine; then ways of calling the one that ``auto`` takes."""
    device, cases = torch.device(settings.device), _cases(settings.quick)
    named = {f'{engine}: {case}': (engine, case) for engine in engines(device) for case in cases}
    yield from attempts(named, lambda name: _compare(name, *named[name], device))
    ways: dict[str, Any] = {'autocast': _in_autocast}
    if not settings.quick:  # compilers take their time
        ways['torch.compile'] = _compiled
    if device.type == 'cuda':
        ways['CUDA graph'] = _in_cuda_graph
    chosen = choose_engine('auto', device, torch.float32)
    yield from attempts(ways, lambda name: _compare(f'{chosen}, {name}', chosen, cases[0], device, ways[name]))


def engines(device: torch.device) -> list[str]:
    """The engines that should work on a device; Triton's on the CPU where it is interpreted."""
    if device.type == 'cuda':
        return ['torch', 'triton']
    return ['torch', 'native', *(['triton'] if interpreted() else [])]


def _cases(quick: bool) -> list[Case]:
    if quick:
        return [Case(distance, (1, 3), 8, 1, 8) for distance in DISTANCES]
    base = [Case(distance, windows, 32, 2, 96) for distance in DISTANCES for windows in ((1, 3, 5), (11,))]
    return [*base, *(replace(base[0], levels=levels) for levels in (8, 64)), replace(base[0], pair='noise')]


def value_and_gradient(images: list[Tensor], loss: Any = spatial_entropy, **options: Any) -> tuple[Tensor, Tensor]:
    """The loss between two images, and its gradient with respect to the first."""
    pred = images[0].detach().requires_grad_()
    value = loss(pred, images[1], **options)
    (gradient,) = torch.autograd.grad(value, pred)
    return value.detach(), gradient


def _compare(name: str, engine: str, case: Case, device: torch.device, way: Any = value_and_gradient) -> Row:
    images = case.images()
    expected = value_and_gradient([image.double() for image in images], engine='torch', **case.options)
    found = way([image.to(device) for image in images], engine=engine, **case.options)
    return compared(name, found, expected, ALLOWED)


def _in_autocast(images: list[Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    with torch.autocast(images[0].device.type, torch.bfloat16):
        return value_and_gradient(images, **options)


def _compiled(images: list[Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    return value_and_gradient(images, torch.compile(spatial_entropy), **options)


def _in_cuda_graph(images: list[Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    value_and_gradient(images, **options)  # compiles; not while a graph is captured
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = value_and_gradient(images, **options)
    graph.replay()
    return found
