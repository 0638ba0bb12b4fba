"""IRSDEModel: Entropy-SDE, the mean-reverting diffusion with the losses of arXiv 2404.09735."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.models.diffusion import DiffusionModel, Draw
from entropy_sde_plugin.networks.brightness import takes_brightness
from entropy_sde_plugin.options.diffusion import DiffusionOptions, IRSDEOptions
from entropy_sde_plugin.options.training import IRSDETrainOptions
from entropy_sde_plugin.options.training import TrainOptions as CommonTrainOptions
from entropy_sde_plugin.training.step import Losses
from entropy_sde_plugin.utils.luma import mean_luma

__all__ = ['IRSDEModel']


class IRSDEModel(DiffusionModel):
    """Trains, validates and tests a diffusion of IR-SDE's kind (arXiv 2301.11699) with the losses of Entropy-SDE.

    One training step draws t ~ U{1…T} and noise for every image, makes x_t from its marginal, and compares at
    ``train.objective``: the reverse SDE's mean under the predicted score with the optimal x_{t-1} (the maximum
    likelihood objective of the paper, section 3.1), or the estimated x0 with the truth.

    Options: sections ``sde``, ``sampler``, ``prediction`` and ``train`` (:mod:`entropy_sde_plugin.options`).

    Example:
        BasicSR builds it from an option file; its options can be read alone:

        >>> options = IRSDEModel.Options.from_options({'sde': {'T': 50}, 'sampler': {'steps': 4}})
        >>> options.times()
        [50, 32, 18, 6, CLEAN]
    """

    Options: ClassVar[type[DiffusionOptions]] = IRSDEOptions
    TrainOptions: ClassVar[type[CommonTrainOptions]] = IRSDETrainOptions
    options: IRSDEOptions
    train_options: IRSDETrainOptions
    process: IRSDE

    def losses(self, part: slice, draw: Draw) -> Losses:
        gt, lq, t = self.gt[part], self.lq[part], draw.t
        inputs = self._brightness_input(gt, draw.chance)
        denoiser = self.denoiser(self.net_g)
        xt = self.process.draw(gt, lq, t, draw.noise)
        output = self.training_step.predict(xt, lq, t, **inputs)
        estimate, clean = denoiser.x0(xt, lq, output, t), self.clean_target(gt, xt, lq, t, **inputs)
        if self.train_options.objective == 'x0':
            predicted, target = estimate, clean
        else:
            predicted = self.process.reverse_sde_mean(xt, lq, denoiser.noise(xt, lq, output, t), t)
            target = self.process.optimal_step(xt, clean, lq, t)
        losses = self.weighted({'l_pix': self.cri_pix, 'l_entropy': self.cri_entropy}, predicted, target, draw)
        return losses | self.weighted({'l_percep': self.cri_perceptual}, estimate, clean, draw)

    def _brightness_input(self, gt: Tensor, chance: Tensor) -> dict[str, Tensor]:
        """The truth's brightness as the network's input; for some images 0, so that it also learns to choose."""
        if not takes_brightness(self.get_bare_model(self.net_g)):
            return {}
        return {'brightness': mean_luma(gt) * (chance < self.train_options.brightness_prob)}
