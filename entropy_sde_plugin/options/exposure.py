"""Options of ExposureDiffusion, in option files and in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.diffusion.exposure_sampler import IlluminationCorrection
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.utils.schema import AtLeastOne

__all__ = ['ExposureOptions', 'ExposureSamplerOptions', 'LadderOptions']


class LadderOptions(msgspec.Struct, frozen=True):
    """Section ``exposure``: the exposures that an image passes on its way to the clean one."""

    calls: AtLeastOne = 3
    """Network calls of a training step, from the short exposure on; three in the published results."""
    keep_negative: bool = False
    """Inputs keep their values below black, whose noise then averages to 0; the release clips them. The data sets must
    say the same."""


class ExposureSamplerOptions(msgspec.Struct, frozen=True):
    """Section ``sampler`` of ExposureDiffusion: how validation and test restore an image."""

    steps: AtLeastOne | None = None
    """Network calls per image; by default as many as in training. Checkpoints carry the number."""
    seed: int = 0
    """Seed of the photon counts, together with the image's name."""


class ExposureOptions(SystemOptions, frozen=True):
    """Options of the system ``exposurediffusion`` (ICCV 2023): raw images, exposed longer and longer."""

    system: ClassVar[str] = 'exposurediffusion'
    trained: ClassVar[tuple[str, ...]] = ('exposure',)
    adjustable: ClassVar[frozenset[str]] = frozenset({'exposure.calls'})
    carried_of_sampler: ClassVar[tuple[str, ...]] = ('steps',)

    exposure: LadderOptions = LadderOptions()
    """The exposures; the same in training and test."""
    sampler: ExposureSamplerOptions = ExposureSamplerOptions()
    """How to restore."""
    illumination_correction: IlluminationCorrection = 'none'
    """Where the brightness of predictions is set to that of the truth: after each network call, in training too, and at
    the end (``in_loop``, as in all published figures); at the end of a restoration (``final``); or nowhere."""

    @property
    def steps(self) -> int:
        """Network calls of a restoration."""
        return self.sampler.steps or self.exposure.calls

    def check_datasets(self, datasets: Mapping[str, DatasetOptions]) -> None:
        for key, options in datasets.items():
            if getattr(options, 'keep_negative', self.exposure.keep_negative) != self.exposure.keep_negative:
                wanted = str(self.exposure.keep_negative).lower()
                path = f'datasets.{key}.keep_negative'
                raise InputError(f"'{path}' must be {wanted}, as exposure.keep_negative is.", path)
            if self.illumination_correction != 'none' and not options.has_truth:
                raise InputError(
                    f"'illumination_correction' is {self.illumination_correction}, but 'datasets.{key}' has no ground "
                    'truth: write none.',
                    'illumination_correction',
                )
