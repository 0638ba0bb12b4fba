"""DiffusionModel: the base model of systems with a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import torch
from basicsr.losses import build_loss
from torch import Tensor, nn
from torch.nn import functional

from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.diffusion.samplers import standard_normal
from entropy_sde_plugin.inference.restoration import restore
from entropy_sde_plugin.models.system import SystemModel
from entropy_sde_plugin.options.diffusion import DiffusionOptions, SamplerOptions
from entropy_sde_plugin.options.training import DiffusionTrainOptions, DistillationOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.distillation import Distillation, read_teacher

__all__ = ['DiffusionModel', 'Draw']


@dataclass(frozen=True)
class Draw:
    """The random draws of a training step, or of a part of it.

    Attributes:
        iteration: The step's iteration.
        t: Times, (B,).
        noise: Standard normal noise, shaped as the images.
        chance: Uniform numbers in [0, 1), (B,), for what a system leaves to chance.
    """

    iteration: int
    t: Tensor
    noise: Tensor
    chance: Tensor

    def __len__(self) -> int:
        return len(self.t)

    def descriptions(self) -> list[str]:
        """Return the time of each image, for the log."""
        return [f't={time}' for time in self.t.tolist()]

    def part(self, part: slice) -> Draw:
        """Return the draws of some images of the batch."""
        return Draw(self.iteration, self.t[part], self.noise[part], self.chance[part])


class DiffusionModel(SystemModel[Draw]):
    """Trains, validates and tests a system whose states are Gaussian around the clean image.

    It owns the process, the draws and the sampling. A system adds its ``Options``, which build the process, and
    :meth:`losses`.

    Example:
        An IR-SDE that compares what the network gives with what it is to give:

        >>> from entropy_sde_plugin.options.diffusion import IRSDEOptions
        >>> class PlainModel(DiffusionModel):
        ...     Options = IRSDEOptions
        ...
        ...     def losses(self, part, draw):
        ...         clean, dark = self.gt[part], self.lq[part]
        ...         xt = self.process.draw(clean, dark, draw.t, draw.noise)
        ...         output = self.training_step.predict(xt, dark, draw.t)
        ...         target = self.denoiser(self.net_g).target(clean, dark, draw.noise, draw.t)
        ...         return self.weighted({'l_pix': self.cri_pix}, output, target, draw)
        >>> PlainModel.Options.from_options({'sampler': {'steps': 4}}).call_times()
        [100, 65, 35, 12]
    """

    Options: ClassVar[type[DiffusionOptions]]
    TrainOptions: ClassVar[type[CommonTrainOptions]] = DiffusionTrainOptions
    network_inputs: ClassVar[Mapping[str, str]] = {
        'x': 'the noisy image',
        'cond': 'the dark image',
        'time': 'the time',
    }
    options: DiffusionOptions
    train_options: DiffusionTrainOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        super().__init__(opt)
        self.process = self.options.process()
        self.times = self.options.times()
        self.call_times = self.options.call_times()

    def init_training_settings(self) -> None:
        super().init_training_settings()
        train = self.train_options
        self.cri_pix = build_loss(train.pixel_opt).to(self.device)
        self.cri_perceptual = build_loss(train.perceptual_opt).to(self.device) if train.perceptual_opt else None
        self.distillation = self._distillation(train.distillation) if train.distillation else None

    def _distillation(self, options: DistillationOptions) -> Distillation:
        read = getattr(self.opt, 'teacher', None)  # before the run
        teacher = read or read_teacher(options, self.options, type(self.get_bare_model(self.net_g)))
        teacher.network.to(self.device)
        return Distillation(options, self.options, teacher, self.training_step.run)

    def denoiser(self, network: Callable[..., Tensor]) -> NetworkDenoiser:
        """Read a network as the system's estimator of the clean image."""
        return NetworkDenoiser(network, self.process, self.options.prediction)

    def sampling_network(self, network: nn.Module) -> Callable[..., Tensor]:
        """Return what predicts when images are restored, (x_t, cond, t) -> output.

        Args:
            network: In evaluation mode.
        """
        return network

    def draw_time(self, generator: torch.Generator, current_iter: int, position: int) -> Tensor:
        """Draw the time of an image, an integer tensor of shape ().

        Args:
            generator: The image's own.
            current_iter: The iteration.
            position: Position of the image in the global batch.
        """
        if self.train_options.times == 'all':
            return self.process.draw_time(generator)
        times = torch.tensor(self.call_times)
        return times[torch.randint(len(times), (), generator=generator)]

    def clean_target(self, gt: Tensor, xt: Tensor, cond: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """Return the clean images to learn: the ground truth, or what a teacher makes of the states.

        Args:
            gt: The ground truth, (B, C, H, W), as all images in the process's range.
            xt: Its states.
            cond: The dark images.
            t: Times, (B,).
            inputs: Further inputs of the network.
        """
        return gt if self.distillation is None else self.distillation.target(gt, xt, cond, t, **inputs)

    def checkpoint_options(self) -> DiffusionOptions:
        """Return the options; of the sampler only its times, and these only if the network learns no others."""
        times = tuple(self.call_times) if self.train_options.times == 'sampler' else None
        sampler = SamplerOptions(times=times)
        return msgspec.structs.replace(self.options, sampler=sampler)

    @property
    def sampler_settings(self) -> dict[str, Any]:
        sampler = self.options.sampler
        return msgspec.structs.asdict(sampler) | {'steps': len(self.call_times)}

    def feed_data(self, data: dict[str, Any]) -> None:
        super().feed_data(data)
        self.full_size = data['full_size'][0].tolist() if 'full_size' in data else None

    def restored(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """Restore the images fed in, (B, 3, H, W) in [0, 1]; upscaled if the dataset downscaled them for loading."""
        output = restore(
            self.sampling_network(network),
            self.lq,
            denoiser_of=self.denoiser,
            process=self.process,
            sampler=self.options.sampler,
            times=self.times,
            noise=standard_normal(generator),
            truth=getattr(self, 'gt', None),
        )
        if self.full_size is None or self.full_size == list(output.shape[-2:]):
            return output
        return functional.interpolate(output, self.full_size, mode='bicubic').clamp(0, 1)

    def draw(self, current_iter: int) -> Draw:
        """Draw times and noise of a batch, from a generator for each image."""
        times, noises, chances = [], [], []
        for position, generator in self.generators(current_iter):
            times.append(self.draw_time(generator, current_iter, position))
            noises.append(torch.randn(self.gt.shape[1:], generator=generator))
            chances.append(torch.rand((), generator=generator))
        noise, chance = (self.on_device(torch.stack(values)) for values in (noises, chances))
        return Draw(current_iter, torch.stack(times), noise, chance)
