"""IRSDEModel: Entropy-SDE, the mean-reverting diffusion with the losses of arXiv 2404.09735."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.models.diffusion import DiffusionModel, Draw
from entropy_sde_plugin.options.diffusion import DiffusionOptions, IRSDEOptions
from entropy_sde_plugin.training.step import Losses

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
    process: IRSDE

    def losses(self, part: slice, draw: Draw) -> Losses:
        gt, lq = self.gt[part], self.lq[part]
        predicted, target = self._compare(self.process.draw(gt, lq, draw.t, draw.noise), gt, lq, draw.t)
        return self.weighted({'l_pix': self.cri_pix, 'l_entropy': self.cri_entropy}, predicted, target, draw)

    def _compare(self, xt: Tensor, gt: Tensor, lq: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction and its target, both images (B, C, H, W), where ``train.objective`` compares."""
        denoiser = self.denoiser(self.training_step.predict)
        if self.train_options.objective == 'x0':
            return denoiser(xt, lq, t), gt
        noise = denoiser.noise(xt, lq, t)
        return self.process.reverse_sde_mean(xt, lq, noise, t), self.process.optimal_step(xt, gt, lq, t)
