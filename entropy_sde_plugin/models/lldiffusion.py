"""LLDiffusionModel: a DDPM that learns beside the bright image how it was darkened (arXiv 2307.14659)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from entropy_sde_plugin.diffusion import DDPM
from entropy_sde_plugin.models.diffusion import DiffusionModel, Draw
from entropy_sde_plugin.models.system import SystemModel
from entropy_sde_plugin.networks.lldiffusion_inference import WholeOrTiles
from entropy_sde_plugin.options.diffusion import DiffusionOptions, LLDiffusionOptions
from entropy_sde_plugin.options.training import LLDiffusionTrainOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.step import Losses

__all__ = ['LLDiffusionModel']


class LLDiffusionModel(DiffusionModel):
    """Trains, validates and tests LLDiffusion.

    One training step draws antithetic times t and T - 1 - t for the two halves of the batch, and noise. ``pixel_opt``
    compares the network's output with its target (the noise, as released), ``degradation_opt`` the degradation
    network's dark image with the true one, ``entropy_opt`` the estimated clean image with the true one. After
    ``train.freeze.after_iter`` the encoder and the degradation network are no longer trained.

    Options: sections ``ddpm``, ``sampler``, ``prediction`` and ``train`` (:mod:`entropy_sde_plugin.options`).

    Example:
        BasicSR builds it from an option file; its options can be read alone:

        >>> options = LLDiffusionModel.Options.from_options({'sampler': {'type': 'ddim', 'steps': 4}})
        >>> options.times()
        [750, 500, 250, 0, CLEAN]
    """

    Options: ClassVar[type[DiffusionOptions]] = LLDiffusionOptions
    TrainOptions: ClassVar[type[CommonTrainOptions]] = LLDiffusionTrainOptions
    network_methods: ClassVar[tuple[str, ...]] = ('features', 'degrade')
    train_options: LLDiffusionTrainOptions
    process: DDPM

    def init_training_settings(self) -> None:
        super().init_training_settings()
        degradation = self.train_options.degradation_opt
        self.cri_degradation = build_loss(degradation).to(self.device) if degradation else None
        self._enter_stage(frozen=False)

    def optimize_parameters(self, current_iter: int) -> None:
        last = self.train_options.freeze.after_iter
        if last is not None and current_iter > last and not self._frozen:
            self._enter_stage(frozen=True)
        super().optimize_parameters(current_iter)

    def losses(self, part: slice, draw: Draw) -> Losses:
        high, low = (self.process.from_unit(images[part]) for images in (self.gt, self.lq))
        xt = self.process.draw(high, low, draw.t, draw.noise)
        self._set_encoder_mode(first=part.start == 0)
        output, *degraded = self.training_step.run(self._outputs, xt, low, draw.t, high)
        denoiser = self.denoiser(self.net_g)
        clean = self.clean_target(high, xt, low, draw.t)
        noise = draw.noise if self.distillation is None else self.process.noise_from_x0(xt, low, clean, draw.t)
        target = denoiser.target(clean, low, noise, draw.t)
        losses = self.weighted({'l_pix': self.cri_pix}, output, target, draw)
        for image in degraded:
            dark = self.process.to_unit(image).clamp(0, 1)
            losses |= self.weighted({'l_deg': self.cri_degradation}, dark, self.lq[part], draw)
        estimate, truth = (self.process.to_unit(image) for image in (denoiser.x0(xt, low, output, draw.t), clean))
        weight = self._entropy_weight(draw.t).to(estimate)
        losses |= self.weighted({'l_entropy': self.cri_entropy}, estimate, truth, draw, weight)
        return losses | self.weighted({'l_percep': self.cri_perceptual}, estimate, truth, draw)

    def draw_time(self, generator: torch.Generator, current_iter: int, position: int) -> Tensor:
        """Antithetic times: of n images, n // 2 + 1 draw theirs, and the others take T - 1 - t of the first ones. Those
        of a sampler are drawn independently."""
        drawn = self.gt.shape[0] * self.opt['world_size'] // 2 + 1
        if position < drawn or self.train_options.times == 'sampler':
            return super().draw_time(generator, current_iter, position)
        partner = self.process.draw_time(self.generator(current_iter, position - drawn))
        return self.process.times[0] + self.process.times[-1] - partner

    def model_ema(self, decay: float = 0.999) -> None:
        """Average the parameters, except those of a frozen encoder; copy the buffers."""
        network = self.get_bare_model(self.net_g)
        current = dict(network.named_parameters())
        for name, average in self.net_g_ema.named_parameters():
            if not (self._frozen and name.startswith('encoder.')):
                average.data.mul_(decay).add_(current[name].data, alpha=1 - decay)
        for mine, other in zip(self.net_g_ema.buffers(), network.buffers(), strict=True):
            mine.copy_(other)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        super().resume_training(resume_state)
        if self.train_options.resume_schedule:
            return
        self.best_metric_results = {}
        for scheduler in self.schedulers:
            scheduler.last_epoch = 0

    def sampling_network(self, network: Any) -> Callable[..., Tensor]:
        return WholeOrTiles(network)

    def _restoring_network(self) -> nn.Module:
        if self.is_train and not self.train_options.validate_ema:
            return self.get_bare_model(self.net_g)
        return super()._restoring_network()

    def _enter_stage(self, frozen: bool) -> None:
        """Let gradients reach the parameters that the stage trains, and these alone: the optimiser skips the others,
        and processes do not wait for them."""
        self._frozen = frozen
        network = self.get_bare_model(self.net_g)
        trains = {
            'diff_unet': True,
            'encoder': not frozen,
            'deg_unet': not frozen and self.cri_degradation is not None,
        }
        unused = network.unused
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(trains[name.partition('.')[0]] and name not in unused)
        if network is not self.net_g:  # DistributedDataParallel asks once which parameters have gradients
            self.net_g = super(SystemModel, self).model_to_device(network)
            self.training_step.network = self.net_g

    def _set_encoder_mode(self, first: bool) -> None:
        """Let the encoder take a power iteration in each step: in the first part of the batch, not in the others."""
        fixed = self._frozen and self.train_options.freeze.encoder_eval
        self.get_bare_model(self.net_g).encoder.train(first and not fixed)

    def _outputs(self, xt: Tensor, low: Tensor, t: Tensor, high: Tensor) -> list[Tensor]:
        """The prediction and, unless it is left out, the degradation network's dark image."""
        network = self.get_bare_model(self.net_g)
        features = network.features(low)
        outputs = [self.net_g(xt, low, t, features=features)]
        left_out = self._frozen and self.train_options.freeze.skip_degradation
        if self.cri_degradation is not None and not left_out:
            outputs.append(network.degrade(high, low, features))
        return outputs

    def _entropy_weight(self, t: Tensor) -> Tensor:
        if self.train_options.entropy_weighting == 'abar':
            return self.process.abars[t]
        return t <= self.process.T // 2
