"""What a network's output means: an estimate of the noise in a state, or of the clean image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from entropy_sde_plugin.diffusion.process import GaussianProcess, Time
from entropy_sde_plugin.errors import InputError, quoted, suggestion

__all__ = ['PREDICTIONS', 'NetworkDenoiser', 'Prediction']

Conversion = Callable[[GaussianProcess, Tensor, Tensor, Tensor, Time], Tensor]
"""(process, x_t, cond, output, t) -> estimate; images (B, C, H, W)."""


@dataclass(frozen=True)
class Prediction:
    """What a network predicts, as the two conversions that samplers and trainings need.

    Attributes:
        x0: From the output to the clean image.
        noise: From the output to the noise in x_t.
    """

    x0: Conversion
    noise: Conversion


def _residual_to_x0(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.mean(cond) + output


def _residual_to_noise(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.noise_from_x0(xt, cond, process.mean(cond) + output, t)


def _noise_to_x0(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return process.x0_from_noise(xt, cond, output, t)


def _noise_to_noise(process: GaussianProcess, xt: Tensor, cond: Tensor, output: Tensor, t: Time) -> Tensor:
    return output


PREDICTIONS: dict[str, Prediction] = {
    'noise': Prediction(x0=_noise_to_x0, noise=_noise_to_noise),
    'x0': Prediction(x0=_residual_to_x0, noise=_residual_to_noise),
}
"""What a network can predict, by the names that option files and checkpoints use."""


class NetworkDenoiser:
    """A network read as an estimator of the clean image, or of the noise.

    With ``'noise'`` the network predicts the noise of x_t, as the released ones do. With ``'x0'`` it predicts the
    residual x0 - m, where m is the process's mean. The two are equivalent, but the error of ``'x0'`` is not multiplied
    by s_t / a_t (39 at the noisiest state of IR-SDE), which matters in short trainings.

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
        return self.prediction.x0(self.process, xt, cond, self.network(xt, cond, t), t)

    def noise(self, xt: Tensor, cond: Tensor, t: Time) -> Tensor:
        """Return an estimate of the noise in x_t."""
        return self.prediction.noise(self.process, xt, cond, self.network(xt, cond, t), t)
