"""One picture in, one picture out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entropy_sde_plugin.checkpoints.model import Model, load_model
from entropy_sde_plugin.checkpoints.weights_file import check_file
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import Callback
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.networks.architectures import architecture_of_network
from entropy_sde_plugin.options.diffusion import SamplerOptions
from entropy_sde_plugin.utils.schema import parse

__all__ = ['DEFAULT_SAMPLER', 'PRECISIONS', 'Enhancer']

DEFAULT_SAMPLER = SamplerOptions(type='posterior', steps=8)
"""No worse than 100 steps on the demonstration's photographs: `scripts/benchmarks/bench_sampling.py`."""

PRECISIONS = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}

#: Strips of this many pixels squared. On a CPU their working set stays in the caches, elsewhere launches be few.
AUTO_TILE_CPU = 128
AUTO_TILE = 1024
SMALLEST_TILE = 16

Image = TypeVar('Image', NDArray[Any], Tensor)


class Enhancer:
    """Makes dark pictures bright with a trained model.

    ::

        enhancer = Enhancer.from_file('net_g_latest.pth')
        bright = enhancer.enhance(dark)

    A picture's noise follows from the seed and the picture's size alone: not from the tile, the order of pictures or
    their number.

    Args:
        model: The network and its process.
        device: ``'auto'`` (a GPU where there is one), ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …
        precision: Of the network: ``'fp32'``, ``'bf16'``, ``'fp16'``; ``'auto'`` is bf16 where the processor computes
            in it, else fp32. The diffusion is float32 always.
        sampler: Which sampler, in how many steps.
        tile: Strips of about ``tile`` x ``tile`` pixels at a time, 0 for the whole picture, or ``'auto'``. It decides
            speed and memory, not the result.
        compile: Let torch.compile fuse the network: a minute once, for many pictures.

    Raises:
        InputError: An argument is wrong, or the device is not there.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        sampler: SamplerOptions = DEFAULT_SAMPLER,
        tile: int | str = 'auto',
        compile: bool = False,
    ) -> None:
        self.device = _device(device)
        self.precision = _precision(precision, self.device)
        self.process = model.process
        self.sampler = sampler
        self.times = self.process.time_grid(sampler.steps or len(self.process.times))
        self.network = architecture_of_network(model.network).for_inference(
            model.network.to(self.device),
            tile=_tile(tile, self.device),
            dtype=PRECISIONS[self.precision],
            compile=compile,
        )
        self._denoiser = NetworkDenoiser(self.network, self.process, model.prediction)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        sampler: str | None = None,
        steps: int | None = None,
        eta: float | None = None,
        tile: int | str = 'auto',
        compile: bool = False,
    ) -> Enhancer:
        """Read a model and make an enhancer of it.

        Args:
            path: A weights file (see :func:`entropy_sde_plugin.checkpoints.weights.load_model`).
            sampler: Name of a sampler (:mod:`entropy_sde_plugin.diffusion.samplers`); None takes the default one.
            steps: Network calls; None takes the default, or T where that is less.
            eta: Share of fresh noise of ``ddim``.
            device, precision, tile, compile: See :class:`Enhancer`.

        Raises:
            InputError: The file holds no model, or an argument is wrong.
        """
        cls.check(path, device=device, precision=precision, sampler=sampler, steps=steps, eta=eta, tile=tile)
        model = load_model(path)
        states = len(model.process.times)
        chosen = {'type': DEFAULT_SAMPLER.type, 'steps': min(DEFAULT_SAMPLER.steps or states, states)}
        chosen |= _given(sampler, steps, eta)
        return cls(
            model,
            device=device,
            precision=precision,
            sampler=parse(SamplerOptions, chosen, 'sampler'),
            tile=tile,
            compile=compile,
        )

    @classmethod
    def check(
        cls,
        path: str | Path,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        sampler: str | None = None,
        steps: int | None = None,
        eta: float | None = None,
        tile: int | str = 'auto',
        compile: bool = False,
    ) -> None:
        """See that the arguments of :meth:`from_file` are sound, as far as it can be told without reading the file.

        Raises:
            InputError: There is no such file, or an argument is wrong.
        """
        check_file(path)
        _precision(precision, _device(device))
        _tile(tile, _device(device))
        parse(SamplerOptions, _given(sampler, steps, eta), 'sampler')

    def enhance(self, image: Image, *, seed: int = 0, callback: Callback | None = None) -> Image:
        """Brighten a picture.

        Args:
            image: A NumPy array (H, W, 3), RGB, uint8, uint16 (full scale 65535) or floating in [0, 1]; or a floating
                tensor (3, H, W) or (B, 3, H, W) in [0, 1], whose images each get the same noise.
            seed: Of the sampler's noise, 0…2^63 - 1.
            callback: Called after each network call (see :data:`entropy_sde_plugin.diffusion.samplers.Callback`).

        Returns:
            The same kind, shape, dtype and device.

        Raises:
            InputError: Another shape or dtype, values outside [0, 1], or a seed out of its range.
        """
        if not 0 <= seed < 2**63:
            raise InputError(f'seed must lie in 0…2^63 - 1, got {seed}.')
        if isinstance(image, Tensor):
            batch = _checked(image if image.dim() == 4 else image[None])
            return self._restore(batch, seed, callback).view(image.shape).to(image)
        full_scale = np.iinfo(image.dtype).max if image.dtype in (np.uint8, np.uint16) else None
        if full_scale is None and not np.issubdtype(image.dtype, np.floating):
            raise InputError(f'A picture is uint8, uint16 or floating, got {image.dtype}.')
        if image.ndim != 3:
            raise InputError(f'A picture is an array (H, W, 3), got shape {image.shape}.')
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))
        if full_scale is not None:
            planes /= full_scale
        restored = self._restore(_checked(planes[None]), seed, callback)[0]
        if full_scale is not None:
            restored = (restored * full_scale).round_()
        return restored.permute(1, 2, 0).contiguous().numpy().astype(image.dtype)

    def _restore(self, batch: Tensor, seed: int, callback: Callback | None) -> Tensor:
        """Sample on the device, (B, 3, H, W) in and out on the CPU; from where memory runs out on in smaller strips."""
        while True:
            try:
                sample = self.sampler.build()
                cond = self.process.from_unit(batch.to(self.device))
                generators = [torch.Generator().manual_seed(seed) for _ in cond]
                with torch.inference_mode():
                    result = sample(
                        self._denoiser, self.process, cond, self.times, generator=generators, callback=callback
                    )
                return self.process.to_unit(result).cpu().clone()
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or self.network.tile == SMALLEST_TILE:
                    raise
            height, width = batch.shape[-2:]
            whole = int((height * width) ** 0.5)
            self.network.tile = max(SMALLEST_TILE, (self.network.tile or whole) // 2)
            logging.getLogger('basicsr.enhancer').warning(
                f'Out of memory for a picture of {width}x{height}: going on with tiles of {self.network.tile}.'
            )


def _given(sampler: str | None, steps: int | None, eta: float | None) -> dict[str, Any]:
    """The options of the sampler that were given."""
    return {key: value for key, value in (('type', sampler), ('steps', steps), ('eta', eta)) if value is not None}


def _checked(batch: Tensor) -> Tensor:
    if batch.dim() != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(f'Pictures have three channels and a size, (B, 3, H, W), got {tuple(batch.shape)}.')
    if not batch.is_floating_point():
        raise InputError(f'A tensor of pictures is floating, got {batch.dtype}.')
    low, high = (value.item() for value in batch.aminmax())
    if not (low >= 0 and high <= 1):
        raise InputError(f'Pictures lie in [0, 1], got values from {low:.4g} to {high:.4g}.')
    return batch.float()


def _device(name: str) -> torch.device:
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: there is no '{name}'. Valid: auto, cpu, cuda, cuda:0, …") from None
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: '{name}' is not there ({torch.cuda.device_count()} CUDA devices). Use 'cpu'.")
    if device.type not in ('cpu', 'cuda'):
        raise InputError(f"device: '{name}' is neither a CPU nor a CUDA device. Use 'cpu'.")
    return device


def _precision(name: str, device: torch.device) -> str:
    if name == 'auto':
        return 'bf16' if _computes_in_bfloat16(device) else 'fp32'
    if name not in PRECISIONS:
        raise InputError(f"precision: there is no '{name}'. {suggestion(name, ['auto', *PRECISIONS])}")
    return name


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get('avx512_bf16') or capabilities.get('amx_bf16') or capabilities.get('bf16'))


def _tile(tile: int | str, device: torch.device) -> int:
    if tile == 'auto':
        return AUTO_TILE_CPU if device.type == 'cpu' else AUTO_TILE
    if not isinstance(tile, int) or isinstance(tile, bool) or (tile != 0 and tile < SMALLEST_TILE):
        raise InputError(f"tile: '{tile}' is neither auto, 0 (the whole picture) nor at least {SMALLEST_TILE}.")
    return tile


def _is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's allocator for CPUs has no exception of its own.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or 'DefaultCPUAllocator' in str(error)
