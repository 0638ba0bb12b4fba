"""Network weights in files: BasicSR's checkpoints, the released ones, bare state dicts and safetensors."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from entropy_sde_plugin.archs.conditional_nafnet_arch import ConditionalNAFNet, network_options
from entropy_sde_plugin.atomic_file import atomic_file
from entropy_sde_plugin.diffusion.denoiser import Prediction
from entropy_sde_plugin.diffusion.irsde import IRSDE
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import ModelOptions, model_options

__all__ = ['SETTINGS_KEY', 'Model', 'load_model', 'load_weights', 'save_model']

SETTINGS_KEY = 'entropy_sde'
"""Entry of a checkpoint that holds the settings its weights were trained under; JSON in safetensors' metadata."""

SAFETENSORS = '.safetensors'


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


def load_model(path: str | Path) -> Model:
    """Read a network whose size is that of its weights. No code in the file is executed.

    A file without settings, such as the released checkpoints, is read under the paper's, with a warning.

    Args:
        path: A file that `load_weights` reads; of BasicSR's entries the average of the weights, ``params_ema``, is
            taken where there is one.

    Raises:
        InputError: The file is missing, unreadable, or holds no ConditionalNAFNet.
    """
    state, settings = load_weights(path, 'params_ema')
    try:
        options = model_options(settings or {})
        network = ConditionalNAFNet(**network_options(state))
    except InputError as error:
        raise InputError(f"Weights '{path}': {error}") from None
    network.load_state_dict(state)
    if settings is None:
        assumed = options.settings()
        warnings.warn(f"'{path}' carries no SDE settings; taking the paper's: {assumed}.", stacklevel=2)
    return Model(network.eval(), options)


def save_model(model: Model, path: str | Path) -> None:
    """Write a model as safetensors, its settings in the metadata; whole or not at all.

    Args:
        model: What to write.
        path: The file to create or replace; its folder exists.

    Raises:
        InputError: The name does not end in ``.safetensors``.
        OSError: It could not be written.
    """
    if Path(path).suffix != SAFETENSORS:
        raise InputError(f"'{path}': the name of the file to write must end in {SAFETENSORS}.")
    state = {key: value.contiguous() for key, value in model.network.state_dict().items()}
    settings = json.dumps(model.options.settings(), sort_keys=True)
    with atomic_file(path) as file:
        file.write(safetensors_bytes(state, {'format': 'pt', SETTINGS_KEY: settings}))


def load_weights(path: str | Path, param_key: str | None = 'params') -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Read a state dict and, where the file has them, the settings it was trained under. No code in it is executed.

    Args:
        path: A ``.safetensors`` file; or any other name: ``{'params': …, 'params_ema': …}`` as BasicSR saves it, or a
            bare state dict as the released networks come. Keys may carry the prefix ``module.`` of DataParallel.
        param_key: Which of BasicSR's entries to take; one that is missing falls back to ``params``, as in BasicSR.

    Returns:
        The state dict on the CPU, and the settings or None.

    Raises:
        InputError: The file is missing, is no checkpoint, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Weights '{path}' do not exist: check the path (path.pretrain_network_g in an option file).")
    weights, settings = _safetensors(path) if path.suffix == SAFETENSORS else _checkpoint(path, param_key)
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"Weights '{path}' hold no state dict: entries {', '.join(map(str, list(weights)[:5]))}.")
    if settings is not None and not isinstance(settings, dict):
        raise InputError(f"Weights '{path}': the settings must be a dictionary, not {settings!r}.")
    return {str(key).removeprefix('module.'): value for key, value in weights.items()}, settings


def _safetensors(path: Path) -> tuple[Mapping[str, Any], Any]:
    try:
        with safe_open(path, framework='pt') as file:
            settings = (file.metadata() or {}).get(SETTINGS_KEY)
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no mapping
        return weights, None if settings is None else json.loads(settings)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise _unreadable(path, error) from None


def _checkpoint(path: Path, param_key: str | None) -> tuple[Mapping[str, Any], Any]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(content, Mapping):
        raise InputError(f"Weights '{path}' hold a {type(content).__name__}, not a dictionary of weights.")
    settings = content.get(SETTINGS_KEY)
    weights = next((content[key] for key in (param_key, 'params') if key in content), content)
    if not isinstance(weights, Mapping):
        raise InputError(f"Weights '{path}' hold a {type(weights).__name__} as '{param_key}', not a state dict.")
    return weights, settings


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()
    return InputError(f"Weights '{path}' cannot be read as a checkpoint: {reason[0] if reason else repr(error)}")
