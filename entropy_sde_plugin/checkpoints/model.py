"""Files with a trained network and its settings."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from entropy_sde_plugin.checkpoints.weights import flat_settings, load_weights, settings_line
from entropy_sde_plugin.checkpoints.weights_file import SAFETENSORS, SETTINGS_KEY, dense
from entropy_sde_plugin.diffusion.process import GaussianProcess
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.architectures import architecture_of
from entropy_sde_plugin.options.diffusion import DiffusionOptions
from entropy_sde_plugin.options.exposure import ExposureOptions
from entropy_sde_plugin.options.system import SystemOptions
from entropy_sde_plugin.options.systems import system_of
from entropy_sde_plugin.utils.atomic_file import atomic_file, output_path

__all__ = ['Model', 'NoSettingsWarning', 'load_model', 'save_model']

Options = TypeVar('Options', bound=SystemOptions)


class NoSettingsWarning(UserWarning):
    """Weights have no settings, and are read with the paper's.

    Example:
        Such weights are refused in this block:

        >>> from entropy_sde_plugin.utils.resources import packaged_model
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter('error', NoSettingsWarning)
        ...     model = load_model(packaged_model())
        >>> model.prediction
        'x0'
    """


@dataclass(frozen=True)
class Model:
    """A trained network with its settings.

    Attributes:
        network: In evaluation mode, on the CPU, float32.
        options: The options of its system; of the sampler only the ``times``, where the network was trained for a few.

    Example:
        >>> from entropy_sde_plugin.utils.resources import packaged_model
        >>> model = load_model(packaged_model())
        >>> model.options.system, model.prediction, sum(p.numel() for p in model.network.parameters())
        ('irsde', 'x0', 4878963)
    """

    network: nn.Module
    options: SystemOptions

    @property
    def diffusion(self) -> DiffusionOptions:
        """The options of a system with a Gaussian process.

        Raises:
            InputError: The model belongs to another system.
        """
        return self._options_of(DiffusionOptions)

    @property
    def restores_raw(self) -> bool:
        """Whether it restores raw images, not RGB ones."""
        return isinstance(self.options, ExposureOptions)

    @property
    def exposure(self) -> ExposureOptions:
        """The options of the system ``exposurediffusion``.

        Raises:
            InputError: The model belongs to another system.
        """
        return self._options_of(ExposureOptions)

    def _options_of(self, kind: type[Options]) -> Options:
        if isinstance(self.options, kind):
            return self.options
        images, way_out = ('raw', ", or take it for 'entropy-sde enhance'") if self.restores_raw else ('RGB', '')
        raise InputError(
            f"The model belongs to the system '{self.options.system}', which restores {images} images: choose another "
            f'model{way_out}.'
        )

    @property
    def process(self) -> GaussianProcess:
        return self.diffusion.process()

    @property
    def prediction(self) -> str:
        return self.diffusion.prediction

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of a file with the weights: ``SETTINGS_KEY`` with the settings as JSON."""
        return {SETTINGS_KEY: json.dumps(self.options.carried(), sort_keys=True)}


def load_model(path: str | Path, settings: Mapping[str, Any] | None = None) -> Model:
    """Read a network and its system; the size of the network follows from its weights. No code in the file is run.

    A file without settings, such as a released checkpoint, is read with those of the paper; a
    `NoSettingsWarning` says so if ``settings`` is not given either.

    Args:
        path: A file that `load_weights` reads; of BasicSR's entries the moving average, ``params_ema``, is
            used if there is one.
        settings: Settings that the file does not hold; e.g. of the system ``irsde`` ``{'sde':
            {'max_sigma': …, 'T': …, 'schedule': …, 'eps': …}, 'prediction': …}``.

    Raises:
        InputError: The file is missing or unreadable, does not hold the finite weights of a known network, or
            contradicts ``settings``.
    """
    state, carried, _ = load_weights(path, 'params_ema')
    try:
        architecture = architecture_of(state)
        system = system_of(carried, default=architecture.system)
        options = _options(system, carried or {}, settings or {})
        network = architecture.build({key: _floating(key, value) for key, value in state.items()})
    except InputError as error:
        raise InputError(f"Weights '{path}': {error}") from None
    if carried is None and not settings:
        papers = settings_line(options.settings())
        warnings.warn(f"'{path}' has no settings; using the paper's: {papers}.", NoSettingsWarning, stacklevel=2)
    return Model(network, options)


def save_model(model: Model, path: str | Path, *, half: bool = False) -> None:
    """Write a model as safetensors, with its settings in the metadata; completely or not at all.

    Args:
        model: What to write.
        path: The file to create or replace; its folder exists.
        half: Store the weights in float16: half the size, rounded to 11 bits. They are read back as float32.

    Raises:
        InputError: The name does not end in ``.safetensors``, the folder is missing, or a weight exceeds float16.
        OSError: It could not be written.
    """
    path = output_path(path, SAFETENSORS)
    dtype = torch.float16 if half else torch.float32
    state = {key: value.to(dtype).contiguous() for key, value in model.network.state_dict().items()}
    if half:
        for key, value in state.items():
            if not value.isfinite().all():
                raise InputError(f"'{key}' does not fit into float16: store the weights in full precision.")
    with atomic_file(path) as file:
        file.write(safetensors_bytes(state, {'format': 'pt', **model.metadata}))


def _options(system: type[SystemOptions], carried: Mapping[str, Any], given: Mapping[str, Any]) -> SystemOptions:
    """Return the settings of a file, completed with those given.

    Raises:
        InputError: They are not settings of the system, or contradict each other.
    """
    strange = [key for key in flat_settings(given) if key.partition('.')[0] not in system.__struct_fields__]
    if strange:
        raise InputError(f"the system '{system.system}' has no setting {', '.join(strange)}: leave it out.")
    options = system.from_settings(_merged(carried, given))
    if given:
        was, now = (flat_settings(each.settings()) for each in (system.from_settings(carried), options))
        said = [key for key in was if key in flat_settings(carried)]
        changed = [f'{key} = {was[key]}, not {now[key]}' for key in said if was[key] != now[key]]
        if changed:
            raise InputError(f'trained with {"; ".join(changed)}: leave out settings that the file holds.')
    return options


def _merged(settings: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with others merged into them, section by section."""
    merged = dict(settings)
    for key, value in others.items():
        mine = merged.get(key)
        merged[key] = {**mine, **value} if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return merged


def _floating(key: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        raise InputError(f"'{key}' does not hold floating-point numbers: use another checkpoint.")
    return dense(value).float()
