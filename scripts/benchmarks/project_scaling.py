"""What data-parallel training of the paper's network would take on 8 and 64 GPUs: computed, not measured.

    python scripts/benchmarks/project_scaling.py

Operations and parameters are counted on the network of train_lolv1_entropy.yml; bandwidths and rates are the makers'
published ones; docs/scale.md says what is assumed. Nothing is run on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from entropy_sde_plugin import register

register()

from entropy_sde_plugin.networks import ConditionalNAFNet  # noqa: E402
from entropy_sde_plugin.utils.resources import options_folder  # noqa: E402

ACHIEVED = 0.8
"""Share of a published bandwidth that a large transfer reaches."""
UTILISATION = (0.1, 0.3)
"""Shares of the published rate of matrix products that training may reach: layer norms, depthwise convolutions and
products, of which the network has many, are bound by memory."""
OPTIMISER_PASSES = 14
"""Times that a float32 per parameter is read or written after the backward pass: 1 to see that the gradient is finite,
3 to clip it, 7 by AdamW, 3 for the average."""
PER_NODE = 8
"""GPUs of a machine."""
NIC = 50e9
"""Bytes a second of a 400 Gb/s network adapter, each way."""


@dataclass(frozen=True)
class GPU:
    """A GPU by its data sheet.

    Attributes:
        rate: Operations a second of dense TF32 matrix products, PyTorch's choice for float32 convolutions.
        memory: Bytes a second of its memory.
        link: Bytes a second of its NVLink, each way.
    """

    name: str
    rate: float
    memory: float
    link: float


GPUS = (GPU('A100 80 GB', 156e12, 2.04e12, 300e9), GPU('H100 SXM', 494e12, 3.35e12, 450e9))


@dataclass(frozen=True)
class Step:
    """Seconds of a training step, and of what it is made of.

    Attributes:
        compute: Forward and backward pass, the latter twice the former.
        optimiser: What passes over the parameters take.
        communication: The all-reduce of the gradients.
    """

    compute: float
    optimiser: float
    communication: float

    @property
    def overlapped(self) -> float:
        """The all-reduce runs beside the backward pass, as DistributedDataParallel arranges it."""
        return self.compute / 3 + max(self.compute * 2 / 3, self.communication) + self.optimiser


def ring_bytes(processes: int, payload: float) -> float:
    """What each process sends for an all-reduce of ``payload`` bytes along a ring: 2 (n - 1) / n of them."""
    return 2 * (processes - 1) / processes * payload


def bandwidth(gpu: GPU, processes: int, adapters: int) -> float:
    """Bytes a second that each GPU can send around the ring, whose slowest part decides.

    Several machines join as many rings as they have adapters, each ring with a share of the payload; that is one ring
    with the bandwidth of all adapters of a machine.
    """
    return ACHIEVED * (gpu.link if processes <= PER_NODE else min(gpu.link, adapters * NIC))


def project(gpu: GPU, processes: int, adapters: int, *, operations: float, parameters: int, utilisation: float) -> Step:
    """The step of a data-parallel training.

    Args:
        gpu: GPU of every process.
        processes: One a GPU.
        adapters: Network adapters of a machine.
        operations: Operations of a process's forward and backward pass.
        parameters: Parameters of the network, in float32.
        utilisation: Share of ``gpu.rate`` that is reached.
    """
    payload = 4 * parameters
    return Step(
        compute=operations / (utilisation * gpu.rate),
        optimiser=OPTIMISER_PASSES * payload / (ACHIEVED * gpu.memory),
        communication=ring_bytes(processes, payload) / bandwidth(gpu, processes, adapters),
    )


def count(batch: int, size: int) -> tuple[float, int]:
    """Operations of the paper's network for a forward and backward pass of a batch, three forward passes; and its
    parameters. A multiplication and its addition are two operations."""
    opt = yaml.safe_load((options_folder() / 'train_lolv1_entropy.yml').read_text(encoding='utf-8'))
    arguments = {key: value for key, value in opt['network_g'].items() if key != 'type'}
    with torch.device('meta'):
        network = ConditionalNAFNet(**arguments)
        state = torch.zeros(batch, 3, size, size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(state, state, 1)
    return 3 * counter.get_total_flops(), sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    print('Computed, not measured.\n')
    operations, parameters = count(batch=1, size=128)
    payload = 4 * parameters / 1e9
    print(f'{parameters:,} parameters, {payload:.2f} GB of gradient, {operations / 1e9:.0f} GFLOP an image\n')
    columns = [
        'GPU',
        'GPUs',
        'adapters',
        'images per GPU',
        'compute, ms',
        'optimiser, ms',
        'all-reduce, ms',
        'step, ms',
    ]
    print(f'| {" | ".join([*columns, "efficiency"])} |\n{"|---" * 9}|')
    for gpu in GPUS:
        for processes, adapters in ((8, 0), (64, 8), (64, 1)):
            for pictures in (1, 8, 32):
                print(row(gpu, processes, adapters, pictures, operations * pictures, parameters))


def row(gpu: GPU, processes: int, adapters: int, pictures: int, operations: float, parameters: int) -> str:
    """A row of the table; ranges are those of the utilisation, efficiency is against one GPU with as many images."""
    steps, efficiencies = [], []
    for utilisation in reversed(UTILISATION):
        work = {'operations': operations, 'parameters': parameters, 'utilisation': utilisation}
        steps.append(project(gpu, processes, adapters, **work))
        efficiencies.append(project(gpu, 1, adapters, **work).overlapped / steps[-1].overlapped)
    compute = span([f'{1000 * step.compute:.0f}' for step in steps])
    whole = span([f'{1000 * step.overlapped:.0f}' for step in steps])
    efficiency = span([f'{100 * value:.0f}%' for value in efficiencies])
    optimiser, communication = (f'{1000 * value:.1f}' for value in (steps[0].optimiser, steps[0].communication))
    cells = [gpu.name, processes, adapters or '', pictures, compute, optimiser, communication, whole, efficiency]
    return f'| {" | ".join(map(str, cells))} |'


def span(ends: list[str]) -> str:
    return '…'.join(dict.fromkeys(ends))


if __name__ == '__main__':
    main()
