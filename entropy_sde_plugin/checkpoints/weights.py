"""Network weights in files: BasicSR's checkpoints, the released ones, bare state dicts and safetensors."""

from __future__ import annotations

import json
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError, quoted
from entropy_sde_plugin.options.diffusion import DiffusionOptions, system_of

__all__ = [
    'SAFETENSORS',
    'SETTINGS_KEY',
    'Weights',
    'check_file',
    'check_settings',
    'dense',
    'flat_settings',
    'load_into',
    'load_weights',
]

SETTINGS_KEY = 'entropy_sde'
"""Entry of a checkpoint that holds the settings its weights were trained under; JSON in the metadata of safetensors
and ONNX files."""

SAFETENSORS = '.safetensors'


class Weights(NamedTuple):
    """What a file of weights holds.

    Attributes:
        state: The state dict, on the CPU.
        settings: Those it was trained under, or None.
        entry: Which of BasicSR's entries it was; None where the file has none.
    """

    state: dict[str, Tensor]
    settings: dict[str, Any] | None
    entry: str | None


def load_weights(path: str | Path, param_key: str | None = 'params', *, unread: bool = False) -> Weights:
    """Read a state dict and, where the file has them, the settings it was trained under. No code in it is executed.

    Args:
        path: A safetensors file; or ``{'params': …, 'params_ema': …}`` as BasicSR saves it, or a bare state dict as the
            released networks come. Its content says which, whatever its name. Keys may carry the prefix ``module.`` of
            DataParallel.
        param_key: Which of BasicSR's entries to take; one that is missing falls back to ``params``, as in BasicSR.
        unread: Leave the tensors of a safetensors file or a zip archive, as torch writes, on the disk: a large file
            costs no time, and nobody sees whether its numbers are finite.

    Raises:
        InputError: The file is missing, is no checkpoint, or holds no weights, or such that are not finite, or wrong
            settings.
    """
    path = check_file(path)
    if _is_safetensors(path):
        (weights, settings), entry = _safetensors(path), None
    else:
        weights, settings, entry = _checkpoint(path, param_key, unread)
    if not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        entries = ', '.join(str(key)[:40] for key in list(weights)[:5]) or 'none'
        raise InputError(f"Weights '{path}' hold no state dict; their entries: {entries}.")
    try:
        if settings is not None:
            _check_readable(settings)
        checked = weights if unread else {key: _finite(key, value) for key, value in weights.items()}
        state = {str(key).removeprefix('module.'): value for key, value in checked.items()}
        return Weights(state, settings, entry)
    except InputError as error:
        raise InputError(f"Weights '{path}': {error}") from None


def check_file(path: str | Path) -> Path:
    """Return the path of weights.

    Raises:
        InputError: There is no such file.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError):  # a zero byte in the path
        raise InputError(
            f"Weights '{path}' do not exist: check the path (path.pretrain_network_g in an option file)."
        ) from None
    if not stat.S_ISREG(status.st_mode):
        kind = 'are a folder: name the file in it' if stat.S_ISDIR(status.st_mode) else 'are no file'
        raise InputError(f"Weights '{path}' {kind}.")
    return path


def check_settings(carried: Mapping[str, Any], options: DiffusionOptions) -> None:
    """Check that a file's settings are those of a run's options.

    Raises:
        InputError: One of them differs, or the file leaves it out.
    """
    trained = flat_settings({'system': system_of(carried).system, **carried})
    wanted = flat_settings(options.settings())
    differences = [
        f'{key}: trained with {trained.get(key)}, options say {value}'
        for key, value in wanted.items()
        if trained.get(key) != value
    ]
    if differences:
        raise InputError(f'trained under another diffusion ({"; ".join(differences)}): give the same settings.')


def flat_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names, e.g. ``sde.T``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f'{key}.{name}': each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
    return flat


def _check_readable(settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise InputError(f"'{SETTINGS_KEY}' must be a section of options, not {quoted(settings)}.")
    system_of(settings).from_settings(settings)


def _finite(key: object, value: Tensor) -> Tensor:
    """See that a tensor is made of real numbers; whole ones among them, since networks count in them."""
    unlike = value.is_meta or value.is_quantized or value.is_complex()
    try:
        is_finite = not unlike and bool(dense(value).isfinite().all())
    except RuntimeError:  # a file of some bytes can ask for any amount of memory
        is_finite = False
    if not is_finite:
        raise InputError(f"'{key}' is not made of finite numbers: take another checkpoint.")
    return value


def dense(value: Tensor) -> Tensor:
    """The tensor with strided memory, as a network holds it."""
    return value if value.layout == torch.strided else value.to_dense()


def _is_safetensors(path: Path) -> bool:
    try:
        with path.open('rb') as file:
            return file.read(9)[8:] == b'{'  # behind its length, the header: a JSON object
    except OSError as error:
        raise InputError(f"Weights '{path}' cannot be read ({error.strerror}).") from None


def _safetensors(path: Path) -> tuple[Mapping[str, Any], Any]:
    try:
        with safe_open(path, framework='pt') as file:
            settings = (file.metadata() or {}).get(SETTINGS_KEY)
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"Weights '{path}' cannot be read as safetensors: {_first_line(error)}.") from None
    try:
        return weights, None if settings is None else json.loads(settings)
    except (ValueError, RecursionError) as error:  # a number too long is a ValueError of its own
        raise InputError(f"Weights '{path}': '{SETTINGS_KEY}' in the metadata is no JSON: {error}.") from None


def _checkpoint(path: Path, param_key: str | None, unread: bool) -> tuple[Mapping[str, Any], Any, str | None]:
    content = _unpickled(path, unread and zipfile.is_zipfile(path))
    if not isinstance(content, Mapping):
        raise InputError(f"Weights '{path}' hold a {type(content).__name__}, not a dictionary of weights.")
    settings = content.get(SETTINGS_KEY)
    entry = next((key for key in (param_key, 'params') if key in content), None)
    weights = content if entry is None else content[entry]
    if not isinstance(weights, Mapping):
        raise InputError(f"Weights '{path}' hold a {type(weights).__name__} as '{param_key}', not a state dict.")
    return weights, settings, entry


def _unpickled(path: Path, unread: bool) -> Any:
    """Tensors and plain containers from a pickle; whatever else it asks for is refused, not run."""
    try:
        with path.open('rb') as file, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of unusual pickles: what matters of them is said below
            return torch.load(path if unread else file, map_location='cpu', weights_only=True, mmap=unread)
    except Exception as error:  # a damaged file raises anything, from IndexError to struct.error
        refused = re.search(r'GLOBAL (\S+)', str(error))
    # torch's own message recommends to load the file unsafely.
    reason = (
        f'it holds Python objects ({refused[1]}), which are never run; save its state_dict() alone'
        if refused
        else 'it is damaged, cut off or no checkpoint; get the file again'
    )
    raise InputError(f"Weights '{path}' cannot be read as a checkpoint: {reason}.")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), repr(error))


def load_into(
    network: nn.Module, state: Mapping[str, Tensor], name: str, *, strict: bool = True, assign: bool = False
) -> None:
    """Put weights into a network.

    Args:
        network: What is filled.
        state: The weights.
        name: What the options call the network, for the message.
        strict: As of ``load_state_dict``.
        assign: As of ``load_state_dict``.

    Raises:
        InputError: They are those of another network.
    """
    try:
        network.load_state_dict(state, strict=strict, assign=assign)
    except RuntimeError as error:
        raise InputError(f"they do not fit the options' {name}: {_mismatch(network, state, error)}") from None


def _mismatch(network: nn.Module, state: Mapping[str, Tensor], error: RuntimeError) -> str:
    """Say in short why ``load_state_dict`` refused weights: the first that does not fit, and how many do not.

    Args:
        network: What was to be filled.
        state: The weights.
        error: What torch said, which has a line for every one of them.
    """
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    given = {key: list(value.shape) for key, value in state.items()}
    other = [key for key in {**shapes, **given} if shapes.get(key) != given.get(key)]
    if not other:
        return ' '.join(str(error).split())[:300]
    kinds = [f'has the shape {found[other[0]]}' if other[0] in found else 'is missing' for found in (given, shapes)]
    return f"'{other[0]}' {kinds[0]} in the file and {kinds[1]} in the network ({len(other)} of {len(shapes)} differ)."
