"""What a network's output means: an estimate of the noise in a state, or of the clean image behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from entropy_sde_plugin.diffusion.irsde import IRSDE, Time

__all__ = ['NetworkDenoiser', 'Prediction']

Prediction = Literal['noise', 'x0']


class NetworkDenoiser:
    """A network read as an estimator of the clean image, or of the noise.

    With ``'noise'`` the network predicts the noise of x_t, as the released one. With ``'x0'`` it predicts the residual
    x0 - mu, an exact re-parameterisation of the same model whose error does not grow by sigma_bar / a (39 at t = T),
    which is what short trainings need.

    Args:
        network: (x_t, mu, t) -> prediction, images (B, C, H, W).
        process: The diffusion process that made x_t.
        prediction: ``'noise'`` or ``'x0'``.
    """

    def __init__(self, network: Callable[..., Tensor], process: IRSDE, prediction: Prediction) -> None:
        self.network = network
        self.process = process
        self.prediction = prediction

    def __call__(self, xt: Tensor, mu: Tensor, t: Time) -> Tensor:
        """Estimate of x0, not clamped: what a sampler asks for."""
        output = self.network(xt, mu, t)
        return mu + output if self.prediction == 'x0' else self.process.x0_from_noise(xt, mu, output, t)

    def noise(self, xt: Tensor, mu: Tensor, t: Time) -> Tensor:
        """Estimate of the noise in x_t: what the reverse SDE asks for."""
        output = self.network(xt, mu, t)
        return output if self.prediction == 'noise' else self.process.noise_from_x0(xt, mu, mu + output, t)
