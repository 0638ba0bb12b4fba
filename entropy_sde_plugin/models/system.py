"""SystemModel: the base model of all systems, called by BasicSR's trainer, validator and tester."""

from __future__ import annotations

import copy
import hashlib
import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import Tensor, nn

from entropy_sde_plugin.checkpoints import files, weights
from entropy_sde_plugin.checkpoints.weights_file import SETTINGS_KEY, WeightsFile
from entropy_sde_plugin.data.options import Pictures
from entropy_sde_plugin.errors import DivergedError, InputError
from entropy_sde_plugin.losses import SpatialEntropyLoss
from entropy_sde_plugin.models.validated import ValidatedModel
from entropy_sde_plugin.options.check import options_of
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.step import Losses, TrainingStep, prepare_network
from entropy_sde_plugin.utils.distributed import gather

__all__ = ['StepDraw', 'SystemModel']

Drawn = TypeVar('Drawn', bound='StepDraw')


class StepDraw(Protocol):
    """The random draws of a training step, or of a part of it.

    Attributes:
        iteration: The step's iteration.
    """

    @property
    def iteration(self) -> int: ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def part(self: Drawn, part: slice) -> Drawn:
        """Return the draws of some images of the batch."""
        ...

    def descriptions(self) -> list[str]:
        """Return where on the way each image was, for the log."""
        ...


class SystemModel(ValidatedModel, Generic[Drawn]):
    """Trains, validates and tests a system.

    It owns feeding, keyed draws, the training step, the moving average and checkpoints. A system adds

    - ``Options``: the struct of its options;
    - :meth:`draw`: the random draws of a step;
    - :meth:`losses`: what some images of a batch, with their draws, contribute to the losses;
    - :meth:`restored`: how images are restored.

    Every draw is keyed by (manual_seed, iteration, position in the global batch), so that a run does not depend on how
    many processes share a batch; restoring is keyed by (sampler.seed, set, image name), so that validation changes
    neither training nor itself with the order of the images.
    """

    Options: ClassVar[type[SystemOptions]]
    """Options of the system, at the top level of an option file."""
    TrainOptions: ClassVar[type[CommonTrainOptions]] = CommonTrainOptions
    """Options of its section ``train``."""
    pictures: ClassVar[Pictures] = 'rgb'
    """What it restores."""
    network_inputs: ClassVar[Mapping[str, str]]
    """The arguments of a network's ``forward`` that the system gives, with what they are in words."""
    network_methods: ClassVar[tuple[str, ...]] = ()
    """What the system asks of a network beside ``forward``."""

    def __init__(self, opt: dict[str, Any]) -> None:
        checked = options_of(type(self), opt)
        self.options: SystemOptions = checked.model
        self.train_options: CommonTrainOptions = checked.train
        super().__init__(opt)
        if (read := getattr(opt, 'weights', None)) is not None:
            read.release()

    @abstractmethod
    def draw(self, current_iter: int) -> Drawn:
        """Draw the random numbers of a training step on the images fed in."""

    @abstractmethod
    def losses(self, part: slice, draw: Drawn) -> Losses:
        """Return the losses of some images of the batch, scalars by name; together the parts make the batch's.

        Args:
            part: Which images of ``self.gt`` and ``self.lq``, (B, C, H, W).
            draw: Their draws.
        """

    @abstractmethod
    def restored(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """Restore the images fed in, ``self.lq``.

        Args:
            network: In evaluation mode.
            generator: Source of all randomness.

        Raises:
            InputError: The result is not finite.
        """

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

    def use_seed(self, seed: int) -> None:
        self.options = self.options.with_seed(seed)

    def feed_data(self, data: dict[str, Any]) -> None:
        if 'gt' not in data and hasattr(self, 'gt'):
            del self.gt  # of the last training batch: SRModel would take it for this image's
        super().feed_data(data | {key: self.on_device(data[key]) for key in ('lq', 'gt') if key in data})
        self._crops = self.lq.shape[1] if self.lq.dim() == 5 else 1
        if self.lq.dim() == 5:  # several crops of each image
            self.lq, self.gt = self.lq.flatten(0, 1), self.gt.flatten(0, 1)
        self.lq_paths = [path for path in data['lq_path'] for _ in range(self._crops)]
        self.keys = data.get('key', self.lq_paths)

    def optimize_parameters(self, current_iter: int) -> None:
        """Take one step on the images fed in; skip it with a warning if a loss or the gradient is not finite.

        Raises:
            DivergedError: ``train.max_skipped_steps`` in a row were skipped, or the training ends with weights that
                restore nothing.
        """
        draw = self.draw(current_iter)
        losses, taken = self.training_step(lambda part: self.losses(part, draw.part(part)), batch_size=len(draw))
        self._losses_of_step = losses
        if not taken:
            self._report_skipped(draw)
        elif self.ema_decay > 0:
            self.model_ema(self._current_ema_decay(current_iter))
        is_last = current_iter == self.train_options.total_iter
        if is_last and not (taken and self.opt.get('val')):  # no later step, and perhaps no validation, would show it
            gather(self._check_last_weights)

    def get_current_log(self) -> dict[str, float]:
        """The losses of the last step, over all processes. Reading them waits for a GPU; every step does not."""
        return self.reduce_loss_dict(self._losses_of_step)

    def test(self) -> None:
        """Restore the images fed in.

        Raises:
            InputError: The result is not finite.
        """
        network = self._restoring_network()
        generator = torch.Generator().manual_seed(_seed_of(self.sampler_settings['seed'], *self.keys))
        was_training = network.training
        network.eval()
        try:
            with torch.no_grad():
                self.output = self.restored(network, generator)
        except InputError as error:
            raise InputError(f'{", ".join(self.keys)}: {error}', error.option) from None
        finally:
            network.train(was_training)

    @master_only
    def save_network(self, net: Any, net_label: str, current_iter: int, param_key: str | list[str] = 'params') -> None:
        """Save as BasicSR does, together with the settings of the weights."""
        nets, keys = (value if isinstance(value, list) else [value] for value in (net, param_key))
        networks = {key: self.get_bare_model(network) for network, key in zip(nets, keys, strict=True)}
        files.save_networks(self.opt['path']['models'], net_label, current_iter, networks, **self.checkpoint_entries())

    def checkpoint_entries(self) -> dict[str, Any]:
        """Return the entries of a checkpoint besides its weights."""
        return {SETTINGS_KEY: self.checkpoint_options().carried()}

    def checkpoint_options(self) -> SystemOptions:
        """Return the options that a checkpoint carries."""
        return self.options

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Save as BasicSR does, and delete checkpoints beyond ``keep_last_checkpoints``; none while steps are skipped,
        since the weights may be ruined, and an older checkpoint the last that is of use."""
        super().save_training_state(epoch, current_iter)
        path, keep = self.opt['path'], self.train_options.keep_last_checkpoints
        sound = self.training_step.skipped_in_row == 0
        if sound and current_iter != -1 and keep is not None and self.opt['rank'] == 0:
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
        read = self.weights_file(load_path).weights(param_key)
        if read.settings is None:
            get_root_logger().info(f'{load_path} has no settings: the options are assumed to match.')
        self.take_weights(net, read, load_path, strict)
        if read.settings is not None:
            try:
                weights.check_settings(read.settings, self.options)
            except InputError as error:
                raise InputError(f"Weights '{load_path}': {error}") from None

    def weights_file(self, path: str) -> WeightsFile:
        """Open a file of weights, unless the checks before the run did."""
        checked = getattr(self.opt, 'weights', None)
        return checked if checked is not None and checked.path == Path(path) else WeightsFile(path)

    def generators(self, current_iter: int) -> Iterator[tuple[int, torch.Generator]]:
        """Yield the position in the global batch of each image fed in, and the generator of its draws."""
        for row in range(self.gt.shape[0]):
            # BasicSR's sampler deals its order out by rank: image i of rank k is image i · world_size + k of the batch.
            image, crop = divmod(row, self._crops)
            position = (image * self.opt['world_size'] + self.opt['rank']) * self._crops + crop
            yield position, self.generator(current_iter, position)

    def generator(self, *key: int) -> torch.Generator:
        """Return the generator of a key, under the run's seed."""
        seed = np.random.SeedSequence((self.opt['manual_seed'], *key)).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(seed[0] >> np.uint64(1)))

    def on_device(self, values: Tensor) -> Tensor:
        """Move to the model's device. Pinned memory is copied to a GPU without waiting for it to finish its work."""
        if self.device.type == 'cuda' and values.device.type == 'cpu':
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def weighted(
        self,
        criteria: Mapping[str, nn.Module | None],
        predicted: Tensor,
        target: Tensor,
        draw: Drawn,
        weight: Tensor | None = None,
    ) -> Losses:
        """Compare two batches of images by criteria, and weigh the results by the images' share in the batch.

        Args:
            criteria: Losses by the name they are logged under; ``None`` for one that is not used.
            predicted: Images with gradient, (B, C, H, W).
            target: What they are compared with.
            draw: Their draws.
            weight: Weight of each image, (B,), in a ``SpatialEntropyLoss``.
        """
        return {
            name: self._loss_share(criterion, len(draw))
            * self._loss(criterion, predicted, target, draw.iteration, weight)
            for name, criterion in criteria.items()
            if criterion is not None
        }

    def share(self, images: int) -> float:
        """The weight of some images' mean in the batch's mean."""
        return images / self.gt.shape[0]

    def _loss_share(self, criterion: nn.Module, images: int) -> float:
        """The weight of some images' loss in the batch's."""
        return 1.0 if getattr(criterion, 'reduction', 'mean') == 'sum' else self.share(images)

    def _loss(
        self, criterion: nn.Module, predicted: Tensor, target: Tensor, current_iter: int, weight: Tensor | None
    ) -> Tensor:
        if isinstance(criterion, SpatialEntropyLoss):
            criterion.update(current_iter)
            # Drawn once for all processes and parts: the position after the last image's belongs to no image.
            return criterion(predicted, target, weight, generator=self.generator(current_iter, 2**32))
        return criterion(predicted, target)

    def _report_skipped(self, draw: Drawn) -> None:
        current_iter = draw.iteration
        batches = gather(lambda: [' '.join(image) for image in zip(draw.descriptions(), self.lq_paths, strict=True)])
        losses = ', '.join(f'{name} {value:g}' for name, value in self.get_current_log().items())
        get_root_logger().warning(
            f'Iteration {current_iter}: a loss or the gradient is not finite ({losses}), the step is skipped. '
            f'Its images: {"; ".join(itertools.chain.from_iterable(batches))}.'
        )
        limit = self.train_options.max_skipped_steps
        if self.training_step.skipped_in_row >= limit:
            raise DivergedError(
                f'Training stops at iteration {current_iter}: {limit} steps in a row had a loss or gradient that is '
                'not finite (train.max_skipped_steps). The log names their images. If they are sound, start again from '
                'the weights of an earlier checkpoint (path.pretrain_network_g), with a lower learning rate or '
                'train.grad_clip_norm. Do not resume: that would keep the old learning rate.'
            )

    def _check_last_weights(self) -> None:
        """Check that the weights of the last iteration still restore an image, before they are saved."""
        try:
            self.test()
        except InputError as error:
            raise DivergedError(
                f'Training ends with weights that are not saved: {error} Begin again from an earlier '
                'checkpoint (path.pretrain_network_g), with a lower learning rate or train.grad_clip_norm.'
            ) from None

    def _current_ema_decay(self, current_iter: int) -> float:
        if self.train_options.ema_warmup:
            return min(self.ema_decay, (1 + current_iter) / (10 + current_iter))
        return self.ema_decay


def _seed_of(seed: int, *names: str) -> int:
    digest = hashlib.sha256('/'.join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1
