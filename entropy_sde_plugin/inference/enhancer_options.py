"""The options of enhancers."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, SupportsIndex

import torch

from entropy_sde_plugin.diffusion.brightness import Brightness
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.options.diffusion import SamplerOptions
from entropy_sde_plugin.options.exposure import ExposureSamplerOptions
from entropy_sde_plugin.utils.devices import choose_device
from entropy_sde_plugin.utils.schema import parse

__all__ = [
    'DEFAULT_SAMPLER',
    'DEFAULT_STEPS',
    'SMALLEST_TILE',
    'ComputingOptions',
    'EnhancerOptions',
    'RawEnhancerOptions',
    'checked_seed',
]

DEFAULT_STEPS = 8
DEFAULT_SAMPLER = SamplerOptions(type='posterior', steps=DEFAULT_STEPS, brightness='auto')
"""No worse than 100 steps on the demonstration's photographs: `scripts/benchmarks/bench_sampling.py`."""

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}

SMALLEST_TILE = 16


class ComputingOptions:
    """How an enhancer computes, checked and resolved.

    Args:
        device: As :func:`~entropy_sde_plugin.utils.devices.choose_device` takes it.
        precision: Precision of the network: ``'fp32'``, ``'bf16'``, ``'fp16'``; ``'auto'`` is bf16 where the processor
            computes in it, else fp32. The diffusion is always float32.
        tile: About ``tile`` x ``tile`` pixels at a time, 0 for the whole image, or ``'auto'`` for what suits the
            network. It decides speed and memory; for networks that work in tiles, not strips, the result as well.
        compile: Compile the network with torch.compile; takes about a minute once, and may pay off for many images.

    Attributes:
        device: The device.
        precision: A key of :data:`PRECISIONS`.
        tile: Pixels, 0 for the whole image, None for what suits the network.
        compile: As given.

    Raises:
        InputError: An option is wrong, or the device does not exist.
    """

    def __init__(
        self, *, device: str = 'auto', precision: str = 'auto', tile: int | str = 'auto', compile: bool = False
    ) -> None:
        self.device = choose_device(device)
        self.precision = _precision(precision, self.device)
        self.tile = _tile(tile)
        self.compile = compile

    @property
    def for_network(self) -> dict[str, Any]:
        """Keyword arguments of what prepares a network; see :mod:`entropy_sde_plugin.networks.architectures`."""
        return {'tile': self.tile, 'dtype': PRECISIONS[self.precision], 'compile': self.compile}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Compute without gradients, and without the autocast of a caller: the network has its own precision."""
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            yield

    def __str__(self) -> str:
        threads = f', {torch.get_num_threads()} threads' if self.device.type == 'cpu' else ''
        return f'{self.precision} on {self.device}{threads}'


class EnhancerOptions(ComputingOptions):
    """The options of an :class:`~entropy_sde_plugin.inference.enhancer.Enhancer`, checked and resolved.

    Args:
        sampler: Name of a sampler (:mod:`entropy_sde_plugin.diffusion.samplers`); by default that of
            :data:`DEFAULT_SAMPLER`.
        steps: Network calls per image; by default those that the model's file names, else those of
            :data:`DEFAULT_SAMPLER`, or fewer where the process has fewer states.
        eta: Share of fresh noise, for ``ddim`` only.
        stride: Restore patches of ``tile`` x ``tile`` pixels, each by itself, at this distance, and average them; for
            networks that can.
        brightness: Mean luma of the result, 0.05…0.95; ``'keep'`` is the input's, ``'model'`` the model's choice, and
            ``'auto'`` that choice, corrected (:func:`~entropy_sde_plugin.diffusion.brightness.automatic_brightness`).
        strength: Share of the result in the output, 0…1; the rest is the input.
        computing: Keyword arguments of :class:`ComputingOptions`.

    Attributes:
        sampler: The sampler; its ``steps`` are None where none were given.
        stride: As given.

    Raises:
        InputError: An option is wrong, or the device does not exist.

    Example:
        >>> options = EnhancerOptions(device='cpu', precision='fp32', steps=4)
        >>> options.sampler.type, options.sampler.steps, options.precision
        ('posterior', 4, 'fp32')
    """

    def __init__(
        self,
        *,
        sampler: str | None = None,
        steps: int | None = None,
        eta: float | None = None,
        stride: int | None = None,
        brightness: Brightness = DEFAULT_SAMPLER.brightness,
        strength: float = 1.0,
        **computing: Any,
    ) -> None:
        super().__init__(**computing)
        self.stride = stride
        chosen = {
            'type': DEFAULT_SAMPLER.type if sampler is None else sampler,
            'steps': steps,
            'eta': eta,
            'brightness': brightness,
            'strength': strength,
        }
        self.sampler = parse(SamplerOptions, chosen, 'sampler')


class RawEnhancerOptions(ComputingOptions):
    """The options of a :class:`~entropy_sde_plugin.inference.raw_enhancer.RawEnhancer`, checked and resolved.

    Args:
        steps: Network calls per image; by default those that the model's file names, else as many as in training.
        computing: Keyword arguments of :class:`ComputingOptions`; ``tile`` counts values of a plane, and never changes
            the result.

    Attributes:
        steps: As given.

    Raises:
        InputError: An option is wrong, or the device does not exist.

    Example:
        >>> RawEnhancerOptions(device='cpu', steps=3).steps
        3
    """

    def __init__(self, *, steps: int | None = None, **computing: Any) -> None:
        super().__init__(**computing)
        self.steps = parse(ExposureSamplerOptions, {'steps': steps}, 'sampler').steps


def checked_seed(seed: SupportsIndex) -> int:
    """Return the seed of an image's noise as Python's integer.

    Raises:
        InputError: It is no integer, or out of range.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**63:
        raise InputError(f'seed must be an integer in 0…2^63 - 1, got {seed!r}.')
    return number


def _precision(name: str, device: torch.device) -> str:
    if name == 'auto':
        return 'bf16' if _computes_in_bfloat16(device) else 'fp32'
    if name not in PRECISIONS:
        raise InputError(f"precision: there is no '{name}'. {suggestion(str(name), ['auto', *PRECISIONS])}")
    return name


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != 'cpu':
        return False  # not measured anywhere: float32 until somebody asks for less
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get('avx512_bf16') or capabilities.get('amx_bf16') or capabilities.get('bf16'))


def _tile(tile: int | str) -> int | None:
    if tile == 'auto':
        return None
    if not isinstance(tile, int) or isinstance(tile, bool) or (tile != 0 and tile < SMALLEST_TILE):
        raise InputError(f"tile: '{tile}' is neither auto, 0 (the whole image) nor at least {SMALLEST_TILE}.")
    return tile
