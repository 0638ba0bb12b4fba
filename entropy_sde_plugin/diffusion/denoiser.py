"""What a network's output means: an estimate of the noise in a state, of the clean image, or of the velocity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from entropy_sde_plugin.diffusion.process import GaussianProcess, Time
from entropy_sde_plugin.errors import InputError, quoted, suggestion

__all__ = ['PREDICTIONS', 'NetworkDenoiser', 'Prediction']

Conversion = Callable[[GaussianProcess, Tensor, Tensor, Tensor, Time], Tensor]
"""(process, x_t, cond, output, t) -> estimate; images (B, C, H, W)."""

Target = Callable[[GaussianProcess, Tensor, Tensor, Tensor, Time], Tensor]
"""(process, x0, cond, noise, t) -> output; images (B, C, H, W)."""


@dataclass(frozen=True)
class Prediction:
    """What a network predicts, as the conversions that samplers and trainings need.

    Attributes:
        x0: From the output to the clean image.
        noise: From the output to the noise in x_t.
        target: From a clean image and the noise in its state to the output that is exact.
    """

    x0: Conversion
    noise: Conversion
    target: Target


def _residual_to_x0(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.mean(cond) + output


def _residual_to_noise(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.noise_from_x0(xt, cond, process.mean(cond) + output, t)


def _residual(process: GaussianProcess, x0: Tensor, cond: Tensor, noise: Tensor, t: Time) -> Tensor:
    return x0 - process.mean(cond)


def _noise_to_x0(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.x0_from_noise(xt, cond, output, t)


def _noise_to_noise(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return output


def _noise(process: GaussianProcess, x0: Tensor, cond: Tensor, noise: Tensor, t: Time) -> Tensor:
    return noise


PREDICTIONS: dict[str, Prediction] = {
    'noise': Prediction(x0=_noise_to_x0, noise=_noise_to_noise, target=_noise),
    'x0': Prediction(x0=_residual_to_x0, noise=_residual_to_noise, target=_residual),
    'v': Prediction(
        x0=GaussianProcess.x0_from_velocity,
        noise=GaussianProcess.noise_from_velocity,
        target=GaussianProcess.velocity,
    ),
}
"""What a network can predict, by the names that option files and checkpoints use."""


class NetworkDenoiser:
    """A network read as an estimator of the clean image, or of the noise.

    With ``'noise'`` the network predicts the noise of x_t, as the released ones do. With ``'x0'`` it predicts the
    residual x0 - m, where m is the process's mean. The two are equivalent, but the error of ``'x0'`` is not multiplied
    by s_t / a_t (39 at the noisiest state of IR-SDE, 157 at that of a DDPM), which matters in short trainings. With
    ``'v'`` it predicts the velocity (arXiv 2202.00512, section 4): the noise near the clean image, minus the residual
    near pure noise, up to their scales.

    Args:
        network: (x_t, cond, t) -> prediction, images (B, C, H, W).
        process: The diffusion process that made x_t.
        prediction: A name in ``PREDICTIONS``.

    Raises:
        InputError: Unknown prediction.

    Example:
        >>> import torch
        >>> from entropy_sde_plugin.diffusion import IRSDE
        >>> denoise = NetworkDenoiser(lambda x, cond, t: torch.full_like(x, 0.25), IRSDE(), 'x0')
        >>> dark = torch.full((1, 3, 4, 4), 0.125)
        >>> denoise(dark, dark, 100).unique()
        tensor([0.3750])
    """

    def __init__(self, network: Callable[..., Tensor], process: GaussianProcess, prediction: str) -> None:
        if prediction not in PREDICTIONS:
            hint = suggestion(prediction, PREDICTIONS)
            raise InputError(f'There is no prediction {quoted(prediction)}. {hint}', option='prediction')
        self.network = network
        self.process = process
        self.prediction = PREDICTIONS[prediction]

    def __call__(self, xt: Tensor, cond: Tensor, t: Time) -> Tensor:
        """Return an estimate of x0, not clamped."""
        return self.x0(xt, cond, self.network(xt, cond, t), t)

    def noise(self, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
        """Return the noise in x_t that an output of the network implies."""
        return self.prediction.noise(self.process, xt, cond, output, t)

    def target(self, x0: Tensor, cond: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Return the output that is exact at the state that ``noise`` makes of clean images."""
        return self.prediction.target(self.process, x0, cond, noise, t)

    def x0(self, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
        """Return the clean image that an output of the network implies, not clamped."""
        return self.prediction.x0(self.process, xt, cond, output, t)
