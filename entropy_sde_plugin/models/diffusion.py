"""DiffusionModel: the base model of all diffusion systems, called by BasicSR's trainer, validator and tester."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import Tensor, nn
from torch.nn import functional

from entropy_sde_plugin.checkpoints import files, weights
from entropy_sde_plugin.checkpoints.weights_file import SETTINGS_KEY, WeightsFile
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.errors import DivergedError, InputError
from entropy_sde_plugin.inference.restoration import restore
from entropy_sde_plugin.losses import SpatialEntropyLoss
from entropy_sde_plugin.models.validated import ValidatedModel
from entropy_sde_plugin.options.check import options_of
from entropy_sde_plugin.options.diffusion import DiffusionOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.step import Losses, TrainingStep, prepare_network
from entropy_sde_plugin.utils.distributed import gather

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

    def part(self, part: slice) -> Draw:
        """Return the draws of some images of the batch."""
        return Draw(self.iteration, self.t[part], self.noise[part], self.chance[part])


class DiffusionModel(ValidatedModel):
    """Trains, validates and tests a diffusion system.

    It owns feeding, keyed draws, the training step, the moving average, checkpoints and sampling. A system adds

    - ``Options``: the struct of its options, which builds its process;
    - :meth:`losses`: what some images of a batch, with their draws, contribute to the losses.

    Every draw is keyed by (manual_seed, iteration, position in the global batch), so that a run does not depend on how
    many processes share a batch; sampling is keyed by (sampler.seed, set, image name), so that validation changes
    neither training nor itself with the order of the images.
    """

    Options: ClassVar[type[DiffusionOptions]]
    """Options of the system, at the top level of an option file."""
    TrainOptions: ClassVar[type[CommonTrainOptions]] = CommonTrainOptions
    """Options of its section ``train``."""
    network_methods: ClassVar[tuple[str, ...]] = ()
    """What the system asks of a network beside ``forward(x, cond, time)``."""

    def __init__(self, opt: dict[str, Any]) -> None:
        checked = options_of(type(self), opt)
        self.options: DiffusionOptions = checked.model
        self.train_options: CommonTrainOptions = checked.train
        self.process = self.options.process()
        super().__init__(opt)
        if (read := getattr(opt, 'weights', None)) is not None:
            read.release()

    def losses(self, part: slice, draw: Draw) -> Losses:
        """Return the losses of some images of the batch, scalars by name; together the parts make the batch's.

        Args:
            part: Which images of ``self.gt`` and ``self.lq``, (B, C, H, W) in [0, 1].
            draw: Their times and noise.
        """
        raise NotImplementedError

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
            position: Of the image in the global batch.
        """
        return self.process.draw_time(generator)

    def model_to_device(self, net: nn.Module) -> nn.Module:
        return super().model_to_device(prepare_network(net, self.train_options) if self.is_train else net)

    def init_training_settings(self) -> None:
        """Do what SRModel does, but copy the network for the moving average instead of building it again."""
        train = self.train_options
        self.net_g.train()
        self.ema_decay = train.ema_decay
        if self.ema_decay > 0:
            get_root_logger().info(f'Use Exponential Moving Average with decay: {self.ema_decay}')
            self.net_g_ema = self._averaged_network()
        self.cri_pix = build_loss(train.pixel_opt).to(self.device)
        self.cri_entropy = build_loss(train.entropy_opt).to(self.device) if train.entropy_opt else None
        self.setup_optimizers()
        self.setup_schedulers()
        self.training_step = TrainingStep(self.net_g, self.optimizer_g, train)

    def _averaged_network(self) -> nn.Module:
        """Return the network that holds the average of the weights, at its start."""
        network = copy.deepcopy(self.get_bare_model(self.net_g)).to(memory_format=torch.contiguous_format)
        path = self.opt['path']
        if path.get('pretrain_network_g') is not None:
            self.load_network(network, path['pretrain_network_g'], path.get('strict_load_g', True), 'params_ema')
        return network.eval()

    @property
    def sampler_settings(self) -> dict[str, Any]:
        sampler = self.options.sampler
        return msgspec.structs.asdict(sampler) | {'steps': sampler.steps or len(self.process.times)}

    def use_seed(self, seed: int) -> None:
        sampler = msgspec.structs.replace(self.options.sampler, seed=seed)
        self.options = msgspec.structs.replace(self.options, sampler=sampler)

    def feed_data(self, data: dict[str, Any]) -> None:
        if 'gt' not in data and hasattr(self, 'gt'):
            del self.gt  # of the last training batch: SRModel would take it for this image's
        super().feed_data(data | {key: self._on_device(data[key]) for key in ('lq', 'gt') if key in data})
        self._crops = self.lq.shape[1] if self.lq.dim() == 5 else 1
        if self.lq.dim() == 5:  # several crops of each image
            self.lq, self.gt = self.lq.flatten(0, 1), self.gt.flatten(0, 1)
        self.lq_paths = [path for path in data['lq_path'] for _ in range(self._crops)]
        self.keys = data.get('key', self.lq_paths)
        self.full_size = data['full_size'][0].tolist() if 'full_size' in data else None

    def optimize_parameters(self, current_iter: int) -> None:
        """Take one step on the images fed in; skip it with a warning if a loss or the gradient is not finite.

        Raises:
            DivergedError: ``train.max_skipped_steps`` in a row were skipped.
        """
        draw = self._draw(current_iter)
        losses, taken = self.training_step(lambda part: self.losses(part, draw.part(part)), batch_size=len(draw.t))
        self._losses_of_step = losses
        if not taken:
            self._report_skipped(draw)
        elif self.ema_decay > 0:
            self.model_ema(self._current_ema_decay(current_iter))

    def get_current_log(self) -> dict[str, float]:
        """The losses of the last step, over all processes. Reading them waits for a GPU; every step does not."""
        return self.reduce_loss_dict(self._losses_of_step)

    def test(self) -> None:
        """Restore the images fed in, upscaled if the dataset downscaled them for loading."""
        network = self._restoring_network()
        sampler = self.options.sampler
        was_training = network.training
        network.eval()
        with torch.no_grad():
            self.output = restore(
                self.sampling_network(network),
                self.lq,
                denoiser_of=self.denoiser,
                process=self.process,
                sampler=sampler,
                times=self.options.times(),
                generator=torch.Generator().manual_seed(_seed_of(sampler.seed, *self.keys)),
                truth=getattr(self, 'gt', None),
            )
        network.train(was_training)
        if self.full_size is not None and self.full_size != list(self.output.shape[-2:]):
            self.output = functional.interpolate(self.output, self.full_size, mode='bicubic').clamp(0, 1)

    @master_only
    def save_network(self, net: Any, net_label: str, current_iter: int, param_key: str | list[str] = 'params') -> None:
        """Save as BasicSR does, together with the settings of the weights."""
        nets, keys = (value if isinstance(value, list) else [value] for value in (net, param_key))
        networks = {key: self.get_bare_model(network) for network, key in zip(nets, keys, strict=True)}
        settings = {SETTINGS_KEY: self.options.settings()}
        files.save_networks(self.opt['path']['models'], net_label, current_iter, networks, **settings)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Save as BasicSR does, and delete checkpoints beyond ``keep_last_checkpoints``."""
        super().save_training_state(epoch, current_iter)
        path, keep = self.opt['path'], self.train_options.keep_last_checkpoints
        if current_iter != -1 and keep is not None and self.opt['rank'] == 0:
            files.keep_last(keep, current_iter, path['models'], path['training_states'], 'net_g')

    def state_entries(self) -> dict[str, Any]:
        """Return the entries of a training state besides BasicSR's."""
        return {'training_step': self.training_step.state_dict()}

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        super().resume_training(resume_state)
        if 'training_step' in resume_state:  # not in BasicSR's own
            self.training_step.load_state_dict(resume_state['training_step'])

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
    ) -> None:
        """Load weights of BasicSR, released ones or a bare state dict; reject weights of another diffusion.

        Raises:
            InputError: Unreadable file, weights of another network, or settings that differ from the options.
        """
        checked = getattr(self.opt, 'weights', None)  # before the run
        file = checked if checked is not None and checked.path == Path(load_path) else WeightsFile(load_path)
        read = file.weights(param_key)
        if read.settings is None:
            get_root_logger().info(f'{load_path} has no settings: the options are assumed to match.')
        self.take_weights(net, read, load_path, strict)
        if read.settings is not None:
            try:
                weights.check_settings(read.settings, self.options)
            except InputError as error:
                raise InputError(f"Weights '{load_path}': {error}") from None

    def _draw(self, current_iter: int) -> Draw:
        """Times and noise of a batch, from a generator for each image."""
        times, noises, chances = [], [], []
        for row in range(self.gt.shape[0]):
            # BasicSR's sampler deals its order out by rank: image i of rank k is image i · world_size + k of the batch.
            image, crop = divmod(row, self._crops)
            position = (image * self.opt['world_size'] + self.opt['rank']) * self._crops + crop
            generator = self._generator(current_iter, position)
            times.append(self.draw_time(generator, current_iter, position))
            noises.append(torch.randn(self.gt.shape[1:], generator=generator))
            chances.append(torch.rand((), generator=generator))
        noise, chance = (self._on_device(torch.stack(values)) for values in (noises, chances))
        return Draw(current_iter, torch.stack(times), noise, chance)

    def _on_device(self, values: Tensor) -> Tensor:
        """Move to the model's device. Pinned memory is copied to a GPU without waiting for it to finish its work."""
        if self.device.type == 'cuda' and values.device.type == 'cpu':
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def _generator(self, *key: int) -> torch.Generator:
        seed = np.random.SeedSequence((self.opt['manual_seed'], *key)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))

    def weighted(
        self,
        criteria: Mapping[str, nn.Module | None],
        predicted: Tensor,
        target: Tensor,
        draw: Draw,
        weight: Tensor | None = None,
    ) -> Losses:
        """Compare two batches of images by criteria, and weigh the results by the images' share in the batch.

        Args:
            criteria: Losses by the name they are logged under; ``None`` for one that is not used.
            predicted: Images with gradient, (B, C, H, W).
            target: What they are compared with.
            draw: Their draws.
            weight: Of each image, (B,), in a ``SpatialEntropyLoss``.
        """
        return {
            name: self._loss(criterion, predicted, target, draw.iteration, weight) * self._share(criterion, len(draw.t))
            for name, criterion in criteria.items()
            if criterion is not None
        }

    def _share(self, criterion: nn.Module, pictures: int) -> float:
        """The weight of some images' loss in the batch's."""
        return 1.0 if getattr(criterion, 'reduction', 'mean') == 'sum' else pictures / self.gt.shape[0]

    def _loss(
        self, criterion: nn.Module, predicted: Tensor, target: Tensor, current_iter: int, weight: Tensor | None
    ) -> Tensor:
        if isinstance(criterion, SpatialEntropyLoss):
            criterion.update(current_iter)
            # Drawn once for all processes and parts: the position after the last image's belongs to no image.
            return criterion(predicted, target, weight, generator=self._generator(current_iter, 2**32))
        return criterion(predicted, target)

    def _report_skipped(self, draw: Draw) -> None:
        t, current_iter = draw.t, draw.iteration
        batches = gather(lambda: [f't={time} {path}' for time, path in zip(t.tolist(), self.lq_paths, strict=True)])
        losses = ', '.join(f'{name} {value:g}' for name, value in self.get_current_log().items())
        get_root_logger().warning(
            f'Iteration {current_iter}: a loss or the gradient is not finite ({losses}), the step is skipped. '
            f'Its images: {"; ".join(itertools.chain.from_iterable(batches))}.'
        )
        limit = self.train_options.max_skipped_steps
        if self.training_step.skipped_in_row >= limit:
            raise DivergedError(
                f'Training stops at iteration {current_iter}: {limit} steps in a row had a loss or gradient that is '
                'not finite (train.max_skipped_steps). The log names their images; where these are sound, begin '
                'again from the weights of an earlier checkpoint (path.pretrain_network_g), with a lower learning '
                'rate or train.grad_clip_norm; a resumed training would continue with the rate of its state.'
            )

    def _current_ema_decay(self, current_iter: int) -> float:
        if self.train_options.ema_warmup:
            return min(self.ema_decay, (1 + current_iter) / (10 + current_iter))
        return self.ema_decay


def _seed_of(seed: int, *names: str) -> int:
    digest = hashlib.sha256('/'.join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1
