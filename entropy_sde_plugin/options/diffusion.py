"""Option sections that describe a diffusion, in option files and beside weights; they do not need BasicSR."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.diffusion.denoiser import Prediction
from entropy_sde_plugin.diffusion.process import TimeGrid
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, Sampler
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import AtLeastOne, OptionError, Positive, parse

__all__ = ['ModelOptions', 'SDEOptions', 'SamplerOptions', 'model_options']


class SDEOptions(msgspec.Struct, frozen=True):
    """Section ``sde``: the process (see :class:`~entropy_sde_plugin.diffusion.IRSDE`)."""

    max_sigma: Positive = 50.0
    """Stationary standard deviation of the noise, in 8-bit units (50 means 50/255)."""
    T: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    """Number of diffusion steps."""
    schedule: Literal['cosine', 'linear', 'constant'] = 'cosine'
    """How fast the process reverts to the degraded image, step by step."""
    eps: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005
    """What is left at t = T of the difference between the clean and the degraded image."""

    def build(self) -> IRSDE:
        return IRSDE(**msgspec.structs.asdict(self))


class SamplerOptions(msgspec.Struct, frozen=True):
    """Section ``sampler``: how validation and test walk from noise to picture (:mod:`.diffusion.samplers`)."""

    type: Literal['posterior', 'euler_maruyama', 'euler_ode', 'ddim', 'dpmpp_2m', 'dpmpp_2m_sde'] = 'posterior'
    """The sampler."""
    steps: AtLeastOne | None = None
    """Calls of the network for one picture, at most ``sde.T``; ``sde.T`` of them by default."""
    eta: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Share of fresh noise, for ``ddim`` only."""
    seed: int = 0
    """Seed of the noise, beside the picture's name."""

    def __post_init__(self) -> None:
        if self.eta is not None and self.type != 'ddim':
            raise ValueError(f"eta belongs to the sampler 'ddim', not to '{self.type}': leave it out.")

    def build(self) -> Sampler:
        """The sampler's function, its own arguments given."""
        function = SAMPLERS[self.type]
        return function if self.eta is None else partial(function, eta=self.eta)


class ModelOptions(msgspec.Struct, frozen=True):
    """What training and test must agree on, and how to sample."""

    sde: SDEOptions = SDEOptions()
    """The diffusion; the same in training and test."""
    sampler: SamplerOptions = SamplerOptions()
    """How to sample."""
    prediction: Prediction = 'noise'
    """What the network's output means: the noise, or the residual of the clean image; the same in training and test."""

    def settings(self) -> dict[str, Any]:
        """The part that weights depend on, as plain values: it travels inside the checkpoint."""
        return {'sde': msgspec.structs.asdict(self.sde), 'prediction': self.prediction}

    def times(self) -> TimeGrid:
        """The sampler's time grid.

        Raises:
            InputError: More steps than ``sde.T``.
        """
        return self.sde.build().time_grid(self.sampler.steps or self.sde.T)


_MODEL_SECTIONS = {field.name for field in msgspec.structs.fields(ModelOptions)}


def model_options(opt: Mapping[str, Any]) -> ModelOptions:
    """Read ``sde``, ``sampler`` and ``prediction`` from a BasicSR option dictionary.

    Raises:
        OptionError: An unknown option, one out of its range, or more sampling steps than ``sde.T``.
    """
    options = parse(ModelOptions, {key: opt[key] for key in _MODEL_SECTIONS if key in opt}, '')
    try:
        options.times()
    except InputError as error:
        raise OptionError(str(error), 'sampler.steps') from None
    return options
