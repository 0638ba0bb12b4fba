"""The enhancer of raw images: a short exposure in, the clean image of a long one out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entropy_sde_plugin.checkpoints.model import Model, load_model
from entropy_sde_plugin.data.raw_frame import RawFrame
from entropy_sde_plugin.data.raw_packing import from_rggb, to_rggb
from entropy_sde_plugin.diffusion import ExposureProcess
from entropy_sde_plugin.diffusion.exposure_sampler import ExposureDenoiser, restore
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer_options import RawEnhancerOptions, checked_seed
from entropy_sde_plugin.inference.memory import in_memory
from entropy_sde_plugin.inference.restoration import check_finite
from entropy_sde_plugin.networks.architectures import architecture_of_network

__all__ = ['RawEnhancer']


class RawEnhancer:
    """Restores short raw exposures with a trained model of ExposureDiffusion (ICCV 2023).

    ::

        enhancer = RawEnhancer.from_file('net_g_latest.pth')
        frame = read_frame(Path('night.dng'), keep_negative=enhancer.keep_negative)
        planes = enhancer.enhance(frame, ratio=100, gain=2.0)

    The photon counts depend only on the seed and the image's size, not on the tile or on other images.

    Args:
        model: The network and its options.
        options: How to compute.

    Attributes:
        options: As given.
        steps: Network calls per image.
        keep_negative: Whether the model was trained on values below black; frames are to be read accordingly.

    Raises:
        InputError: The model does not restore raw images.

    Example:
        >>> from entropy_sde_plugin.data.raw_frame import RawMetadata
        >>> from entropy_sde_plugin.networks import ExposureNAFNet
        >>> from entropy_sde_plugin.options.exposure import ExposureOptions
        >>> enhancer = RawEnhancer(Model(ExposureNAFNet().eval(), ExposureOptions()), RawEnhancerOptions(device='cpu'))
        >>> metadata = RawMetadata(100, 0.1, np.ones(4, np.float32), np.eye(3, dtype=np.float32))
        >>> dark = RawFrame(np.full((4, 20, 30), 0.004, np.float32), (512,) * 4, 16383, metadata)
        >>> enhancer.enhance(dark, ratio=100, gain=1.0).shape
        (4, 20, 30)
    """

    def __init__(self, model: Model, options: RawEnhancerOptions | None = None) -> None:
        self.options = options or RawEnhancerOptions()
        exposure = model.exposure
        self.steps = self.options.steps or exposure.steps
        self.keep_negative = exposure.exposure.keep_negative
        architecture = architecture_of_network(model.network)
        prepare = architecture.for_raw_inference
        if prepare is None:
            raise InputError(f'A {architecture.name} does not restore raw images: use another model.')
        network: Any = model.network.to(self.options.device)
        self.network = prepare(network, **self.options.for_network)
        self._inputs = {'photon_plane': network.photon_plane, 'concat_origin': network.concat_origin}

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> RawEnhancer:
        """Read a model and create an enhancer.

        Args:
            path: A weights file (see :func:`entropy_sde_plugin.checkpoints.model.load_model`).
            options: Keyword arguments of :class:`~entropy_sde_plugin.inference.enhancer_options.RawEnhancerOptions`.

        Raises:
            InputError: The file does not hold a model of raw images, or an option is wrong.
        """
        checked = RawEnhancerOptions(**options)
        return cls(load_model(path), checked)

    def __str__(self) -> str:
        return f'{self.steps} network {"call" if self.steps == 1 else "calls"}, {self.options}'

    def enhance(self, frame: RawFrame, *, ratio: float, gain: float, seed: int = 0) -> NDArray[np.float32]:
        """Restore an exposure.

        Args:
            frame: The short exposure, with sides of at least 10 values of a plane.
            ratio: How many times longer the result is exposed, above 1;
                :func:`~entropy_sde_plugin.inference.raw_exposure.automatic_ratio` suggests one.
            gain: K of the sensor at the frame's ISO, ADU per photon
                (see :func:`~entropy_sde_plugin.data.raw_noise.gain_for`).
            seed: Seed of the photon counts, 0…2^63 - 1.

        Returns:
            Clean planes of the long exposure, R, G, B, G, (4, H, W) as the frame's, in [0, 1].

        Raises:
            InputError: A ratio, gain or seed out of range, or a frame that is too small.
        """
        seed = checked_seed(seed)
        process = ExposureProcess(ratio, gain, frame.value_range)
        pattern = np.asarray(frame.pattern)
        bright = (to_rggb(frame.planes, pattern) * np.float32(ratio)).clip(None if self.keep_negative else 0, 1)
        short = torch.from_numpy(bright)[None]
        restored = in_memory(
            lambda: self._restored(short.to(self.options.device), process, seed).cpu(),
            self.network,
            *short.shape[-2:],
        )
        check_finite(restored)
        return from_rggb(restored[0].numpy(), pattern)

    def _restored(self, short: Tensor, process: ExposureProcess, seed: int) -> Tensor:
        with self.options.alone():
            return restore(
                ExposureDenoiser(self.network, process, **self._inputs),
                short,
                process.time_grid(self.steps),
                generator=[torch.Generator().manual_seed(seed)],
            )
