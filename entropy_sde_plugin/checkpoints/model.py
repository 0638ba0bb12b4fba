"""Trained networks in files, with what they were trained for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from entropy_sde_plugin.checkpoints.weights import SAFETENSORS, SETTINGS_KEY, dense, flat_settings, load_weights
from entropy_sde_plugin.diffusion.denoiser import Prediction
from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet, network_options
from entropy_sde_plugin.options.diffusion import ModelOptions
from entropy_sde_plugin.utils.atomic_file import atomic_file, output_path
from entropy_sde_plugin.utils.schema import parse

__all__ = ['Model', 'load_model', 'save_model']


@dataclass(frozen=True)
class Model:
    """A trained network and what it was trained for.

    Attributes:
        network: In evaluation mode, on the CPU, float32.
        options: The process and what the network predicts.
    """

    network: ConditionalNAFNet
    options: ModelOptions

    @property
    def process(self) -> IRSDE:
        return self.options.sde.build()

    @property
    def prediction(self) -> Prediction:
        return self.options.prediction

    @property
    def metadata(self) -> dict[str, str]:
        """What a file that holds the weights elsewhere says beside them: ``SETTINGS_KEY`` to the settings as JSON."""
        return {SETTINGS_KEY: json.dumps(self.options.settings(), sort_keys=True)}


def load_model(path: str | Path, settings: Mapping[str, Any] | None = None) -> Model:
    """Read a network whose size is that of its weights. No code in the file is executed.

    A file without settings, such as the released checkpoints, is read under the paper's, with a warning where none are
    given.

    Args:
        path: A file that `load_weights` reads; of BasicSR's entries the average of the weights, ``params_ema``, is
            taken where there is one.
        settings: What the file does not say of ``{'sde': {'max_sigma': …, 'T': …, 'schedule': …, 'eps': …},
            'prediction': …}``; any part of it.

    Raises:
        InputError: The file is missing, unreadable, or holds no ConditionalNAFNet of finite weights; or ``settings``
            contradict the file's.
    """
    state, carried, _ = load_weights(path, 'params_ema')
    try:
        options = _options(carried or {}, settings or {})
        network = ConditionalNAFNet(**network_options(state))
        network.load_state_dict({key: _floating(key, value) for key, value in state.items()})
    except InputError as error:
        raise InputError(f"Weights '{path}': {error}") from None
    if carried is None and not settings:
        assumed = options.settings()
        warnings.warn(f"'{path}' carries no SDE settings; taking the paper's: {assumed}.", stacklevel=2)
    return Model(network.eval(), options)


def save_model(model: Model, path: str | Path, *, half: bool = False) -> None:
    """Write a model as safetensors, its settings in the metadata; whole or not at all.

    Args:
        model: What to write.
        path: The file to create or replace; its folder exists.
        half: Store the weights in float16: half the bytes, rounded to 11 bits. Reading turns them into float32.

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


def _options(carried: Mapping[str, Any], given: Mapping[str, Any]) -> ModelOptions:
    """The settings of a file, and those given for what it does not say."""
    trained = parse(ModelOptions, carried, '')
    sections = [settings['sde'] for settings in (carried, given) if 'sde' in settings]
    sde = {key: value for section in sections for key, value in section.items()}
    options = parse(ModelOptions, {**carried, **given, 'sde': sde}, '')
    was, now = flat_settings(trained.settings()), flat_settings(options.settings())
    changed = [
        f'{key} = {was[key]}, not {now[key]}' for key in was if key in flat_settings(carried) and was[key] != now[key]
    ]
    if changed:
        raise InputError(f'trained with {"; ".join(changed)}: leave out what the file says itself.')
    return options


def _floating(key: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        raise InputError(f"'{key}' is not made of floating-point numbers: take another checkpoint.")
    return dense(value).float()
