"""The enhancer: a dark image in, a bright image out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entropy_sde_plugin.checkpoints.model import Model, load_model
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.process import TimeGrid
from entropy_sde_plugin.diffusion.samplers import Callback, standard_normal
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer_options import DEFAULT_STEPS, EnhancerOptions, checked_seed
from entropy_sde_plugin.inference.memory import in_memory
from entropy_sde_plugin.inference.restoration import restore
from entropy_sde_plugin.networks.architectures import InferenceNetwork, architecture_of_network

__all__ = ['Enhancer']

Image = TypeVar('Image', NDArray[Any], Tensor)


class Enhancer:
    """Enhances dark images with a trained model.

    ::

        enhancer = Enhancer.from_file('net_g_latest.pth', steps=8)
        bright = enhancer.enhance(dark)

    The noise depends only on the seed and the image's size, not on the tile or on other images.

    Args:
        model: The network and its process.
        options: How to compute.

    Attributes:
        sampler: The sampler and its number of steps.
        times: The sampler's time grid.

    Raises:
        InputError: More steps than the model's process has noisy states, or a stride for a network without patches.

    Example:
        >>> from entropy_sde_plugin.utils.resources import packaged_model
        >>> enhancer = Enhancer.from_file(packaged_model(), device='cpu', steps=1)
        >>> enhancer.enhance(np.full((8, 12, 3), 20, np.uint8)).shape
        (8, 12, 3)
    """

    def __init__(self, model: Model, options: EnhancerOptions | None = None) -> None:
        options = options or EnhancerOptions()
        self.options = options
        self.device = options.device
        self.network = self._for_inference(model, options)
        self.process = model.process
        self.times = self._time_grid(model, options.sampler.steps)
        self.sampler = msgspec.structs.replace(options.sampler, steps=len(self.times) - 1)
        self._denoiser_of = partial(NetworkDenoiser, process=self.process, prediction=model.prediction)

    def _for_inference(self, model: Model, options: EnhancerOptions) -> InferenceNetwork:
        architecture = architecture_of_network(model.network)
        prepare = architecture.for_inference
        if prepare is None:
            raise InputError(f'{architecture.name} restores raw images, not RGB ones: use another model.')
        if options.stride is not None:
            if architecture.patches is None:
                raise InputError(
                    f'stride: a {architecture.name} does not work in patches; leave it out.', option='stride'
                )
            prepare = partial(architecture.patches, stride=options.stride)
        return prepare(model.network.to(self.device), **options.for_network)

    def _time_grid(self, model: Model, steps: int | None) -> TimeGrid:
        """Return the sampler's times: the model's own, if it has any and ``steps`` is None or their number."""
        own = model.diffusion.sampler.times
        if own is not None and steps in (None, len(own)):
            return self.process.grid_of(own)
        return self.process.time_grid(steps or min(DEFAULT_STEPS, len(self.process.times)))

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> Enhancer:
        """Read a model and create an enhancer.

        Args:
            path: A weights file (see :func:`entropy_sde_plugin.checkpoints.model.load_model`).
            options: Keyword arguments of :class:`~entropy_sde_plugin.inference.enhancer_options.EnhancerOptions`.

        Raises:
            InputError: The file does not hold a model, or an option is wrong.
        """
        checked = EnhancerOptions(**options)
        return cls(load_model(path), checked)

    def __str__(self) -> str:
        return f'{self.sampler.type} in {self.sampler.steps} steps, {self.options}'

    def enhance(self, image: Image, *, seed: int = 0, callback: Callback | None = None) -> Image:
        """Brighten an image.

        Args:
            image: A NumPy array (H, W, 3), RGB, uint8, uint16 (full scale 65535) or floating in [0, 1]; or a floating
                tensor (3, H, W) or (B, 3, H, W) in [0, 1], whose images each get the same noise.
            seed: Seed of the sampler's noise, 0…2^63 - 1.
            callback: Called after each network call (see :data:`entropy_sde_plugin.diffusion.samplers.Callback`).

        Returns:
            The same kind, shape, dtype and device.

        Raises:
            InputError: Another kind of object, wrong shape or dtype, values outside [0, 1], or a wrong seed.
        """
        seed = checked_seed(seed)
        if not isinstance(image, (Tensor, np.ndarray)):
            raise InputError(f'An image must be an array or a tensor, got {type(image).__name__}.')
        if isinstance(image, Tensor):
            batch = _checked(image if image.dim() == 4 else image[None])
            # Copied: a tensor of inference mode cannot be changed in place or used in training.
            return self._restore(batch, seed, callback).view(image.shape).to(image, copy=True)
        full_scale = np.iinfo(image.dtype).max if image.dtype.newbyteorder('=') in (np.uint8, np.uint16) else None
        if full_scale is None and not np.issubdtype(image.dtype, np.floating):
            raise InputError(f'An image must be uint8, uint16 or floating-point, got {image.dtype}.')
        if image.ndim != 3:
            raise InputError(f'An image must be an array (H, W, 3), got shape {image.shape}.')
        planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))
        if full_scale is not None:
            planes /= full_scale
        restored = self._restore(_checked(planes[None]), seed, callback)[0]
        if full_scale is not None:
            restored = (restored * full_scale).round_()
        return restored.permute(1, 2, 0).contiguous().numpy().astype(image.dtype)

    def _restore(self, batch: Tensor, seed: int, callback: Callback | None) -> Tensor:
        """Sample on the device, (B, 3, H, W) in and out on the CPU; use smaller tiles if memory runs out."""
        height, width = batch.shape[-2:]
        return in_memory(
            lambda: self._sampled(batch.to(self.device), seed, callback).cpu(), self.network, height, width
        )

    def _sampled(self, images: Tensor, seed: int, callback: Callback | None) -> Tensor:
        with self.options.alone():
            return restore(
                self.network,
                images,
                denoiser_of=self._denoiser_of,
                process=self.process,
                sampler=self.sampler,
                times=self.times,
                noise=standard_normal([torch.Generator().manual_seed(seed) for _ in images]),
                callback=callback,
            )


def _checked(batch: Tensor) -> Tensor:
    if batch.dim() != 4 or batch.shape[1] != 3 or batch.numel() == 0:
        raise InputError(f'Images must be a non-empty tensor (B, 3, H, W), got {tuple(batch.shape)}.')
    if not batch.is_floating_point():
        raise InputError(f'A tensor of images must be floating-point, got {batch.dtype}.')
    low, high = (value.item() for value in batch.aminmax())
    if not (low >= 0 and high <= 1):
        raise InputError(f'Images must lie in [0, 1], got values from {low:.4g} to {high:.4g}.')
    return batch.float()
