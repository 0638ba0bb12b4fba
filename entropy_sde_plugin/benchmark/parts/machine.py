"""The device, and the versions of what computes on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator

import torch
from torch.cuda import nccl

from entropy_sde_plugin.benchmark.part import Row, Settings

PACKAGES = ('entropy-sde-plugin', 'basicsr', 'torch', 'torchvision', 'triton', 'numpy')


def rows(settings: Settings) -> Iterator[Row]:
    """Describe the machine."""
    facts = {'Python': platform.python_version(), 'system': platform.platform(), 'cores': str(os.cpu_count())}
    facts |= {name: _version(name) for name in PACKAGES}
    if settings.device == 'cuda':
        facts |= _gpu()
    for name, value in facts.items():
        yield Row(name, {'value': value})


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'


def _gpu() -> dict[str, str]:
    found = torch.cuda.get_device_properties(0)
    return {
        'GPU': found.name,
        'GPUs': str(torch.cuda.device_count()),
        'memory, GB': f'{found.total_memory / 1e9:.1f}',
        'multiprocessors': str(found.multi_processor_count),
        'compute capability': f'{found.major}.{found.minor}',
        'CUDA': str(torch.version.cuda),
        'cuDNN': str(torch.backends.cudnn.version()),
        'NCCL': '.'.join(map(str, nccl.version())),
        'bfloat16': 'yes' if torch.cuda.is_bf16_supported(including_emulation=False) else 'no',
    }
