"""Time and memory of the loss by each engine, forward and backward pass, at the paper's batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from entropy_sde_plugin.benchmark.loss_cases import PAPER
from entropy_sde_plugin.benchmark.memory import PeakMemory
from entropy_sde_plugin.benchmark.part import Row, Settings, attempts
from entropy_sde_plugin.benchmark.parts.engines import engines, value_and_gradient
from entropy_sde_plugin.benchmark.timing import fastest
from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.triton.first_use import interpreted

LEVELS = (8, 16, 32, 64)
COMPILED = 'torch, compiled'


def rows(settings: Settings) -> Iterator[Row]:
    """Measure each engine at each number of levels."""
    device = torch.device(settings.device)
    ways = [engine for engine in engines(device) if not (engine == 'triton' and interpreted())]  # takes for ever
    ways, levels = (ways, LEVELS[:1]) if settings.quick else ([*ways, COMPILED], LEVELS)
    cases = {f'{way}, L {count}': (way, count) for way in ways for count in levels}
    yield from attempts(cases, lambda name: _measure(name, *cases[name], settings))


def _measure(name: str, way: str, levels: int, settings: Settings) -> Row:
    case = replace(PAPER, levels=levels, **({'batch': 1, 'side': 8} if settings.quick else {}))
    device = torch.device(settings.device)
    images = [image.to(device) for image in case.images()]
    engine, loss = ('torch', torch.compile(spatial_entropy)) if way == COMPILED else (way, spatial_entropy)
    call = partial(value_and_gradient, images, loss, engine=engine, **case.options)
    call()  # compiles
    memory = PeakMemory(device)
    seconds = fastest({name: call}, repeats=1 if settings.quick else 10)[name]
    return Row(name, {'ms': 1000 * seconds, 'MB': memory.above_baseline() / 1e6})
