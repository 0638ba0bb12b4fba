"""Options of the systems with a Gaussian process, in option files and in checkpoints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from entropy_sde_plugin.diffusion import DDPM, IRSDE, GaussianProcess
from entropy_sde_plugin.diffusion.brightness import Brightness
from entropy_sde_plugin.diffusion.denoiser import PREDICTIONS
from entropy_sde_plugin.diffusion.process import CLEAN, TimeGrid
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, Sampler
from entropy_sde_plugin.diffusion.schedules import SCHEDULES
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.utils.schema import AtLeastOne, Positive

__all__ = [
    'DDPMOptions',
    'DiffusionOptions',
    'IRSDEOptions',
    'LLDiffusionOptions',
    'SDEOptions',
    'SamplerOptions',
]

if TYPE_CHECKING:
    PredictionName = SamplerName = ScheduleName = str
else:  # type checkers cannot read the names from the tables
    PredictionName = Literal[tuple(PREDICTIONS)]
    SamplerName = Literal[tuple(SAMPLERS)]
    ScheduleName = Literal[tuple(SCHEDULES)]


class SDEOptions(msgspec.Struct, frozen=True):
    """Section ``sde``: the process (see :class:`~entropy_sde_plugin.diffusion.IRSDE`)."""

    max_sigma: Positive = 50.0
    """Stationary standard deviation of the noise, in 8-bit units (50 means 50/255)."""
    T: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    """Number of diffusion steps."""
    schedule: ScheduleName = 'cosine'
    """How fast the process reverts to the degraded image, step by step."""
    eps: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005
    """Share of the difference between the clean and the degraded image that is left at t = T."""

    def build(self) -> IRSDE:
        return IRSDE(**msgspec.structs.asdict(self))


class DDPMOptions(msgspec.Struct, frozen=True):
    """Section ``ddpm``: the process (see :class:`~entropy_sde_plugin.diffusion.DDPM`)."""

    T: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """Number of diffusion steps."""
    beta_start: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-4
    """Variance that the first step adds."""
    beta_end: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.02
    """Variance that the last step adds; linear between."""

    def build(self) -> DDPM:
        return DDPM(**msgspec.structs.asdict(self))


class SamplerOptions(msgspec.Struct, frozen=True):
    """Section ``sampler``: how validation and test sample an image (:mod:`.diffusion.samplers`)."""

    type: SamplerName = 'posterior'
    """The sampler."""
    steps: AtLeastOne | None = None
    """Network calls per image; the diffusion's ``T`` at most and by default."""
    times: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] | None = None
    """Times of the network calls, the noisiest first, instead of ``steps``."""
    eta: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Share of fresh noise, for ``ddim`` only."""
    clip: bool = True
    """Clamp each estimate of the clean image to its range; released DDPMs do not."""
    seed: int = 0
    """Seed of the noise, together with the image's name."""
    brightness: Brightness = 'model'
    """Brightness of the results, as mean luma: the model's, corrected, the input's, the truth's, or a number."""
    strength: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Share of the result in the output; the rest is the input."""

    def __post_init__(self) -> None:
        if self.eta is not None and self.type != 'ddim':
            raise InputError(f"eta belongs to the sampler 'ddim', not to '{self.type}': leave it out.", option='eta')
        if self.times is not None and self.steps is not None:
            raise InputError('steps and times exclude each other: leave one out.', option='steps')

    def build(self) -> Sampler:
        """Return the sampler's function with its own arguments bound."""
        own = {} if self.eta is None else {'eta': self.eta}
        return partial(SAMPLERS[self.type], clip=self.clip, **own)


class DiffusionOptions(SystemOptions, frozen=True):
    """Options of a system with a Gaussian process, and how to sample."""

    carried_of_sampler: ClassVar[tuple[str, ...]] = ('times',)

    sampler: SamplerOptions = SamplerOptions()
    """How to sample."""
    prediction: PredictionName = 'noise'
    """What the network's output means: the noise, the residual of the clean image (``x0``) or the velocity (``v``); the
    same in training and test."""

    def __post_init__(self) -> None:
        self.times()

    def process(self) -> GaussianProcess:
        """Build the diffusion process."""
        raise NotImplementedError

    def times(self) -> TimeGrid:
        """Return the sampler's time grid.

        Raises:
            InputError: More steps than there are noisy states; times that are not among them, or do not decrease.
        """
        process = self.process()
        if self.sampler.times is not None:
            return process.grid_of(self.sampler.times)
        return process.time_grid(self.sampler.steps or len(process.times))

    def call_times(self) -> list[int]:
        """Return the times of the sampler's network calls."""
        return [t for t in self.times() if t is not CLEAN]


class IRSDEOptions(DiffusionOptions, frozen=True):
    """Options of the system ``irsde``: Entropy-SDE, an IR-SDE from the clean to the degraded image."""

    system: ClassVar[str] = 'irsde'
    trained: ClassVar[tuple[str, ...]] = ('sde', 'prediction')

    sde: SDEOptions = SDEOptions()
    """The diffusion; the same in training and test."""

    def process(self) -> IRSDE:
        return self.sde.build()


class LLDiffusionOptions(DiffusionOptions, frozen=True):
    """Options of the system ``lldiffusion`` (arXiv 2307.14659): a DDPM beside which a degradation is learned."""

    system: ClassVar[str] = 'lldiffusion'
    trained: ClassVar[tuple[str, ...]] = ('ddpm', 'prediction')

    ddpm: DDPMOptions = DDPMOptions()
    """The diffusion; the same in training and test."""

    def process(self) -> DDPM:
        return self.ddpm.build()
