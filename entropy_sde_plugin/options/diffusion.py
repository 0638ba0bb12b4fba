"""Options that describe a diffusion system, in option files and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from entropy_sde_plugin.diffusion import DDPM, IRSDE, GaussianProcess
from entropy_sde_plugin.diffusion.brightness import Brightness
from entropy_sde_plugin.diffusion.denoiser import PREDICTIONS
from entropy_sde_plugin.diffusion.process import TimeGrid
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, Sampler
from entropy_sde_plugin.diffusion.schedules import SCHEDULES
from entropy_sde_plugin.errors import InputError, quoted, suggestion
from entropy_sde_plugin.utils.schema import AtLeastOne, Positive, parse

__all__ = [
    'SYSTEMS',
    'DDPMOptions',
    'DiffusionOptions',
    'IRSDEOptions',
    'LLDiffusionOptions',
    'SDEOptions',
    'SamplerOptions',
    'system_of',
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

    def build(self) -> Sampler:
        """Return the sampler's function with its own arguments bound."""
        own = {} if self.eta is None else {'eta': self.eta}
        return partial(SAMPLERS[self.type], clip=self.clip, **own)


class DiffusionOptions(msgspec.Struct, frozen=True):
    """Options of a diffusion system: those that training and test must share, and how to sample.

    A system adds the sections of its process, and lists in ``trained`` those that its weights depend on.
    """

    system: ClassVar[str]
    """Name of the system, in checkpoints."""
    trained: ClassVar[tuple[str, ...]]
    """The options that weights depend on."""

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

    def settings(self) -> dict[str, Any]:
        """Return the options that weights depend on, as plain values, and the system's name, for a checkpoint."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in self.trained} | {'system': self.system}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> DiffusionOptions:
        """Read what :meth:`settings` returned, or a part of it.

        Raises:
            InputError: Unknown setting, or one out of its range.
        """
        return parse(cls, {key: value for key, value in settings.items() if key != 'system'}, '')

    @classmethod
    def from_options(cls, opt: Mapping[str, Any]) -> DiffusionOptions:
        """Read the system's options from a BasicSR option dictionary.

        Raises:
            InputError: Unknown option, one out of its range, or more sampling steps than there are noisy states.
        """
        names = {field.name for field in msgspec.structs.fields(cls)}
        return parse(cls, {key: opt[key] for key in names if key in opt}, '')

    def times(self) -> TimeGrid:
        """Return the sampler's time grid.

        Raises:
            InputError: More steps than there are noisy states.
        """
        process = self.process()
        return process.time_grid(self.sampler.steps or len(process.times))


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


SYSTEMS: dict[str, type[DiffusionOptions]] = {options.system: options for options in (IRSDEOptions, LLDiffusionOptions)}
"""Options of each diffusion system, by the name that checkpoints carry."""


def system_of(settings: Mapping[str, Any] | None, default: str = IRSDEOptions.system) -> type[DiffusionOptions]:
    """Return the options of the system that weights were trained under.

    Args:
        settings: What the weights' file carries, if anything.
        default: The system of files that do not name one, since they were written when there was only one.

    Raises:
        InputError: The file names an unknown system.
    """
    name = (settings or {}).get('system', default)
    if name not in SYSTEMS:
        raise InputError(f'trained under the unknown system {quoted(name)}. {suggestion(str(name), SYSTEMS)}')
    return SYSTEMS[name]
