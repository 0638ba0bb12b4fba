"""What a network's output means: an estimate of the noise in a state, or of the clean image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from entropy_sde_plugin.diffusion.process import GaussianProcess, Time

__all__ = ['NetworkDenoiser', 'Prediction']

Prediction = Literal['noise', 'x0']


class NetworkDenoiser:
    """A network read as an estimator of the clean image, or of the noise.

    With ``'noise'`` the network predicts the noise of x_t, as the released ones do. With ``'x0'`` it predicts the
    residual x0 - m, where m is the process's mean. That is the same model in other parameters, but its error does not
    grow by s_t / a_t (39 at the noisiest state of IR-SDE), which short trainings need.

    Args:
        network: (x_t, cond, t) -> prediction, images (B, C, H, W).
        process: The diffusion process that made x_t.
        prediction: ``'noise'`` or ``'x0'``.

    Example:
        >>> import torch
        >>> from entropy_sde_plugin.diffusion import IRSDE
        >>> denoise = NetworkDenoiser(lambda x, cond, t: torch.full_like(x, 0.25), IRSDE(), 'x0')
        >>> dark = torch.full((1, 3, 4, 4), 0.125)
        >>> denoise(dark, dark, 100).unique()
        tensor([0.3750])
    """

    def __init__(self, network: Callable[..., Tensor], process: GaussianProcess, prediction: Prediction) -> None:
        self.network = network
        self.process = process
        self.prediction = prediction

    def __call__(self, xt: Tensor, cond: Tensor, t: Time) -> Tensor:
        """Return an estimate of x0, not clamped; samplers ask for it."""
        output = self.network(xt, cond, t)
        if self.prediction == 'x0':
            return self.process.mean(cond) + output
        return self.process.x0_from_noise(xt, cond, output, t)

    def noise(self, xt: Tensor, cond: Tensor, t: Time) -> Tensor:
        """Return an estimate of the noise in x_t; the reverse SDE asks for it."""
        output = self.network(xt, cond, t)
        if self.prediction == 'noise':
            return output
        return self.process.noise_from_x0(xt, cond, self.process.mean(cond) + output, t)
