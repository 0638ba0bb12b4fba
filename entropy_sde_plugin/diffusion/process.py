"""The interface of a diffusion process: what samplers, denoisers and trainings need of it.

A process holds no image and no network. It owns its time grid. The clean image is a state of its own, :data:`CLEAN`,
since processes count differently: IR-SDE numbers its noisy states 1…T, DDPM 0…T - 1.

Coefficients, which depend only on the time, are computed in float64 on the CPU and then cast to the images' dtype and
device: 1 - a² cancels where there is little noise, and 1 / a grows without bound where little is left of the image.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError

__all__ = ['CLEAN', 'Arrival', 'GaussianProcess', 'Level', 'Process', 'Time', 'TimeGrid']


class _State(enum.Enum):
    CLEAN = 'clean'

    def __repr__(self) -> str:
        return self.name


CLEAN: Final = _State.CLEAN
"""The state without noise: where sampling ends."""

Time = int | Tensor
"""A noisy state: an ``int``, or an integer tensor (any shape) with one time per image, or one for all of them."""

Arrival = int | Tensor | Literal[_State.CLEAN]
"""Where a step arrives: a less noisy state, or :data:`CLEAN`."""

TimeGrid = list[int | Literal[_State.CLEAN]]
"""States that a sampler visits, from the noisiest to the last."""

_CLEAN_MOMENTS = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)


class Process(ABC):
    """A process from a degraded image to a clean one, through a sequence of states.

    Attributes:
        image_range: Minimum and maximum of a clean image, e.g. ``(0, 1)`` or ``(-1, 1)``.

    Example:
        >>> from entropy_sde_plugin.diffusion import DDPM, IRSDE
        >>> [process.image_range for process in (IRSDE(), DDPM())]
        [(0.0, 1.0), (-1.0, 1.0)]
    """

    image_range: tuple[float, float]

    @abstractmethod
    def time_grid(self, steps: int) -> Sequence[Any]:
        """Return the states that a sampler visits in ``steps`` network calls; the last is :data:`CLEAN`.

        Raises:
            InputError: Fewer than one step, or more than there are states.
        """

    def from_unit(self, images: Tensor) -> Tensor:
        """Map images from [0, 1] to ``image_range``."""
        low, high = self.image_range
        return images if (low, high) == (0, 1) else images * (high - low) + low

    def to_unit(self, images: Tensor) -> Tensor:
        """Map images from ``image_range`` to [0, 1]."""
        low, high = self.image_range
        return images if (low, high) == (0, 1) else (images - low) / (high - low)


@dataclass(frozen=True)
class Level:
    """The shares of image and noise in a state: x_t = m + decay (x0 - m) + std · noise.

    Attributes:
        decay: a_t, in (0, 1].
        std: s_t, in image units.
    """

    decay: float
    std: float

    @property
    def log_ratio(self) -> float:
        """ln(a_t / s_t), half the logarithm of the signal-to-noise ratio."""
        return math.log(self.decay / self.std)


class GaussianProcess(Process):
    """A diffusion whose states are Gaussian around the clean image: x_t = m + a_t (x0 - m) + s_t noise.

    The noisy states are numbered by whole times. The process reverts to the image m (:meth:`mean`) and preserves the
    variance: a_t² + s_t² / S² = 1, where S is ``stationary_std``. Images are (B, C, H, W), of any floating dtype and
    device. A time outside ``times``, or times that do not match the batch, raise an ``InputError``.

    Attributes:
        times: The noisy states, from the least noisy to the noisiest.
        decays: a_t, float64, indexed by the time.
        stds: s_t, float64, indexed by the time.
        stationary_std: Standard deviation of the state that sampling starts from, in image units.

    Example:
        >>> from entropy_sde_plugin.diffusion import DDPM
        >>> process, x0, noise = DDPM(), torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 3, 4, 4)
        >>> xt = process.draw(x0, x0, 300, noise)
        >>> bool(torch.allclose(process.x0_from_noise(xt, x0, noise, 300), x0))
        True
    """

    times: range
    decays: Tensor
    stds: Tensor
    stationary_std: float

    @abstractmethod
    def mean(self, cond: Tensor) -> Tensor:
        """Return the image m that the process reverts to; it broadcasts with ``cond``."""

    @abstractmethod
    def time_grid(self, steps: int) -> TimeGrid: ...

    def start(self, cond: Tensor, noise: Tensor) -> Tensor:
        """Return the state that sampling starts from, given standard normal ``noise``; all (B, C, H, W)."""
        return self.mean(cond) + self.stationary_std * noise

    def draw(self, x0: Tensor, cond: Tensor, t: Time, noise: Tensor) -> Tensor:
        """Return the state at ``t`` of clean images ``x0``, given standard normal ``noise``; all (B, C, H, W)."""
        mean, std = self.marginal(x0, cond, t)
        return mean + std * noise

    def draw_time(self, generator: torch.Generator) -> Tensor:
        """Draw one of the noisy states, uniformly; an integer tensor of shape ()."""
        return torch.randint(self.times.start, self.times.stop, (), generator=generator)

    def check_steps(self, steps: int) -> None:
        """Check a number of sampling steps.

        Raises:
            InputError: Fewer than one step, or more than there are noisy states.
        """
        if not 1 <= steps <= len(self.times):
            message = f'sampler.steps must lie in 1…{len(self.times)} (the noisy states), got {steps}.'
            raise InputError(message, option='sampler.steps')

    def grid_of(self, times: Sequence[int]) -> TimeGrid:
        """Return the grid of a sampler that visits given noisy states.

        Raises:
            InputError: One is not a noisy state, or they do not strictly decrease.
        """
        decreasing = all(here > there for here, there in pairwise(times))
        if not decreasing or not all(t in self.times for t in times):
            first, last = self.times[0], self.times[-1]
            message = f'sampler.times must decrease and lie in {first}…{last} (the noisy states), got {list(times)}.'
            raise InputError(message, option='sampler.times')
        return [*times, CLEAN]

    def _check(self, t: Time) -> Tensor:
        first, last = self.times[0], self.times[-1]
        try:
            times = torch.as_tensor(t, device='cpu').reshape(-1)
        except (RuntimeError, TypeError, ValueError):  # not a number, or too large for a tensor
            raise InputError(f'Diffusion times must be integers in {first}…{last}, got {t!r}.') from None
        if times.is_floating_point() or times.is_complex() or times.dtype == torch.bool:
            raise InputError(f'Diffusion times must be integers, got {times.dtype}.')
        if times.numel() == 0 or times.min() < first or times.max() > last:
            raise InputError(f'Diffusion times must lie in {first}…{last}, got {times.tolist()}.')
        return times

    def level(self, t: int) -> Level:
        """Return the moments of a noisy state."""
        self._check(t)
        return Level(self.decays[t].item(), self.stds[t].item())

    def marginal(self, x0: Tensor, cond: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of x_t given x0.

        Returns:
            The mean, shaped as x0, and the standard deviation, shaped (B, 1, 1, 1), or (1, 1, 1, 1) for an int.
        """
        decay, std = self._moments(x0, t)
        m = self.mean(cond)
        return m + (x0 - m) * decay, std

    def x0_from_noise(self, xt: Tensor, cond: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Return the clean image that ``noise`` implies at x_t: the marginal solved for x0."""
        decay, std = self._moments(xt, t)
        m = self.mean(cond)
        return m + (xt - m - std * noise) / decay

    def noise_from_x0(self, xt: Tensor, cond: Tensor, x0: Tensor, t: Time) -> Tensor:
        """Return the noise that ``x0`` implies at x_t: the marginal solved for the noise."""
        decay, std = self._moments(xt, t)
        m = self.mean(cond)
        return (xt - m - decay * (x0 - m)) / std

    def velocity(self, x0: Tensor, cond: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Return the velocity of x_t (arXiv 2202.00512, section 4): a_t noise - s_t (x0 - m) / S².

        S is ``stationary_std``. In z = (x_t - m) / S, the cosine of an angle weighs the clean image and its sine the
        noise. The velocity is the derivative of z with respect to this angle.
        """
        decay, std = self._moments(x0, t)
        return decay * noise - std * (x0 - self.mean(cond)) / self.stationary_std**2

    def x0_from_velocity(self, xt: Tensor, cond: Tensor, velocity: Tensor, t: Time) -> Tensor:
        """Return the clean image that ``velocity`` implies at x_t."""
        decay, std = self._moments(xt, t)
        m = self.mean(cond)
        return m + decay * (xt - m) - std * velocity

    def noise_from_velocity(self, xt: Tensor, cond: Tensor, velocity: Tensor, t: Time) -> Tensor:
        """Return the noise that ``velocity`` implies at x_t."""
        decay, std = self._moments(xt, t)
        return std * (xt - self.mean(cond)) / self.stationary_std**2 + decay * velocity

    def score(self, noise: Tensor, t: Time) -> Tensor:
        """Return the gradient of the log density of x_t, from the noise that made it: -noise / s_t."""
        _, std = self._moments(noise, t)
        return -noise / std

    def posterior_mean(self, xt: Tensor, x0: Tensor, cond: Tensor, t: Time, to: Arrival) -> Tensor:
        """Return the mean of the state at ``to`` given x_t and x0; at :data:`CLEAN` it is x0."""
        towards_xt, towards_x0, _ = self._checked_posterior(t, to)
        towards_xt, towards_x0 = self._on(xt, towards_xt, towards_x0)
        m = self.mean(cond)
        return m + towards_xt * (xt - m) + towards_x0 * (x0 - m)

    def posterior_std(self, t: Time, to: Arrival) -> Tensor:
        """Return the standard deviation of the state at ``to`` given x_t and x0: float64, (B or 1, 1, 1, 1)."""
        return self._checked_posterior(t, to)[2].view(-1, 1, 1, 1)

    def _checked_posterior(self, t: Time, to: Arrival) -> tuple[Tensor, Tensor, Tensor]:
        times = self._check(t)
        return self._posterior(times, self._arrival(times, to))

    def elapsed(self, t: int, to: int) -> float:
        """Return ln(a_to / a_t), above 0: the length of a step in the time of the variance-preserving SDE."""
        return math.log(self.level(to).decay / self.level(t).decay)

    def gain(self, t: int, to: int) -> float:
        """Return how much a step gains in ln(a / s), above 0: its length for exponential integrators."""
        return self.level(to).log_ratio - self.level(t).log_ratio

    def _posterior(self, t: Tensor, to: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of x_t - m and x0 - m in the posterior's mean, and its standard deviation; ``None`` is CLEAN."""
        decay, std = self.decays[t], self.stds[t]
        decay_to, std_to = _CLEAN_MOMENTS if to is None else (self.decays[to], self.stds[to])
        ratio = decay / decay_to
        added = std**2 - ratio**2 * std_to**2  # variance of x_t given the state at arrival
        return ratio * std_to**2 / std**2, decay_to * added / std**2, std_to * torch.sqrt(added) / std

    def _arrival(self, t: Tensor, to: Arrival) -> Tensor | None:
        if to is CLEAN:
            return None
        arrival = torch.as_tensor(to, device='cpu').reshape(-1)
        if arrival.numel() not in (1, t.numel()) and t.numel() != 1:
            raise InputError(f'{t.numel()} diffusion times need 1 or {t.numel()} arrival times, got {arrival.numel()}.')
        if (arrival < self._earliest_arrival).any() or (arrival >= t).any():
            raise InputError(
                f'A step from t = {t.tolist()} must arrive in {self._earliest_arrival}…t - 1, got {arrival.tolist()}.'
            )
        return arrival

    @property
    def _earliest_arrival(self) -> int:
        return self.times[0]

    def _moments(self, image: Tensor, t: Time) -> list[Tensor]:
        times = self._check(t)
        return self._on(image, self.decays[times], self.stds[times])

    @staticmethod
    def _on(image: Tensor, *coefficients: Tensor) -> list[Tensor]:
        batch = image.shape[0]
        for value in coefficients:
            if value.numel() not in (1, batch):
                raise InputError(f'A batch of {batch} images needs 1 or {batch} diffusion times, got {value.numel()}.')
        # A blocking copy would wait for a GPU to finish its work.
        return [value.to(image.device, image.dtype, non_blocking=True).view(-1, 1, 1, 1) for value in coefficients]
