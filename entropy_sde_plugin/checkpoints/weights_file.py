"""Weights files: BasicSR's checkpoints, released ones, bare state dicts and safetensors."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from entropy_sde_plugin.checkpoints.released import released_state, with_current_names, without_wrappers
from entropy_sde_plugin.errors import InputError, first_line, quoted
from entropy_sde_plugin.utils.paths import opens_as_utf8

__all__ = ['SAFETENSORS', 'SETTINGS_KEY', 'Weights', 'WeightsFile', 'check_file', 'dense']

SETTINGS_KEY = 'entropy_sde'
"""Entry of a checkpoint that holds the settings its weights were trained under; JSON in the metadata of safetensors
and ONNX files."""

SAFETENSORS = '.safetensors'

_ENTRIES = ('params', 'state_dict', 'model_state_dict', 'model')
"""Names under which BasicSR and then other projects store a state dict; one may contain the other."""

_NO_ENTRY = (Tensor, argparse.Namespace)
"""An entry of such a type is no state dict in spite of its name: a weight, or the options that LLDiffusion's release
stores as ``params``."""

_DEPTH = 4
"""Maximum nesting of a state dict: a damaged file can contain itself."""

_SMALL = 64 << 20
"""Maximum size in bytes of a file that is read into memory once."""


class Weights(NamedTuple):
    """The content of a weights file.

    Attributes:
        state: The state dict, on the CPU.
        settings: The settings it was trained under, or None.
        entry: Where it was, e.g. ``params`` or ``model.state_dict``; None if the file itself is a state dict.
    """

    state: dict[str, Tensor]
    settings: dict[str, Any] | None
    entry: str | None


class WeightsFile:
    """An open weights file. No code in it is executed.

    A file of up to 64 MB is opened once, even if several entries are read.

    Args:
        path: A safetensors file; ``{'params': …, 'params_ema': …}`` as BasicSR saves it; ``{'state_dict': …}`` or
            ``{'model': …}`` as others do; a bare state dict as IR-SDE's networks are released; or a released checkpoint
            of LLDiffusion or ExposureDiffusion (:mod:`.released`). Its content says which, whatever its name. Keys may
            carry the prefixes ``module.`` of DataParallel and ``_orig_mod.`` of ``torch.compile``.
        lazy: Leave the tensors of a large safetensors file or torch zip archive on the disk. This takes no time, but
            their numbers are not checked to be finite.

    Attributes:
        path: The file.
        on_disk: Whether the tensors were left on the disk.
        sha256: Hash of a small file; None for a large one.

    Raises:
        InputError: The file is missing or not a checkpoint.
    """

    def __init__(self, path: str | Path, *, lazy: bool = False) -> None:
        self.path = check_file(path)
        # Libraries in Rust and C++ open only files whose names are UTF-8.
        is_read_at_once = self.path.stat().st_size <= _SMALL or not opens_as_utf8(self.path)
        self.on_disk = lazy and not is_read_at_once
        try:
            if is_read_at_once:
                data = self.path.read_bytes()
                begin = data[:9]
            else:
                data = None
                with self.path.open('rb') as file:
                    begin = file.read(9)
        except OSError as error:
            raise InputError(f"Weights '{self.path}' cannot be read ({error.strerror}).") from None
        self.sha256 = None if data is None else hashlib.sha256(data).hexdigest()
        self._is_safetensors = begin[8:] == b'{'  # after its length, the header: a JSON object
        self._content: Any = (
            _safetensors(self.path, data) if self._is_safetensors else _unpickled(self.path, data, self.on_disk)
        )

    def weights(self, param_key: str | None = 'params') -> Weights:
        """Return a state dict of the file.

        Args:
            param_key: Which entry to use; if it is missing, ``params``, as in BasicSR, or else what other projects call
                it: ``state_dict``, ``model_state_dict``, ``model``.

        Raises:
            InputError: The file holds no weights, weights that are not finite, or settings that
                are not a section.
        """
        state, settings, entry = (*self._content, None) if self._is_safetensors else self._entry(param_key)
        if not state or not all(isinstance(value, Tensor) for value in state.values()):
            entries = ', '.join(str(key)[:40] for key in list(state)[:5]) or 'none'
            raise InputError(
                f"Weights '{self.path}' do not hold a state dict; their entries: {entries}. "
                "Save the network's state dict alone, or under 'params'."
            )
        try:
            if settings is not None:
                _check_section(settings)
            checked = state if self.on_disk else {key: _finite(key, value) for key, value in state.items()}
        except InputError as error:
            raise InputError(f"Weights '{self.path}': {error}") from None
        names = {without_wrappers(key): value for key, value in checked.items()}
        return Weights(with_current_names(names), settings, entry)

    def entry(self, name: str) -> Any:
        """Return an entry of a checkpoint in BasicSR's format, other than its weights; None if it has no such entry."""
        return None if self._is_safetensors or not isinstance(self._content, Mapping) else self._content.get(name)

    def release(self) -> None:
        """Release the memory of the tensors; no weights can be read afterwards."""
        self._content = None

    def _entry(self, param_key: str | None) -> tuple[Mapping[str, Any], Any, str | None]:
        """Return the weights, the settings beside them, and the name of their entry, which may be nested.

        Without entries the whole content is the weights.
        """
        try:
            released = released_state(self._content, param_key) if isinstance(self._content, Mapping) else None
        except InputError as error:
            raise InputError(f"Weights '{self.path}': {error}") from None
        if released is not None:
            state, entry = released
            return state, None, entry
        state, settings, names = self._content, None, []
        while isinstance(state, Mapping):
            settings = state.get(SETTINGS_KEY, settings)
            entries = (key for key in (param_key, *_ENTRIES) if key in state and not isinstance(state[key], _NO_ENTRY))
            name = next(entries, None)
            if name is None or len(names) == _DEPTH:
                return state, settings, '.'.join(names) or None
            names.append(name)
            state = state[name]
        kind = f'{type(state).__name__}{f" as {names[-1]!r}" if names else ""}'
        raise InputError(f"Weights '{self.path}' hold a {kind}, not a state dict.")


def check_file(path: str | Path) -> Path:
    """Return the path of weights.

    Raises:
        InputError: The file does not exist.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError):  # a zero byte in the path
        raise InputError(
            f"Weights '{path}' do not exist: check the path (path.pretrain_network_g in an option file)."
        ) from None
    if not stat.S_ISREG(status.st_mode):
        kind = 'are a folder: name the file in it' if stat.S_ISDIR(status.st_mode) else 'are not a file'
        raise InputError(f"Weights '{path}' {kind}.")
    return path


def _safetensors(path: Path, data: bytes | None) -> tuple[Mapping[str, Any], Any]:
    """Return the tensors of a safetensors file and the settings in its metadata."""
    try:
        if data is None:
            with safe_open(path, framework='pt') as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  it is not a mapping
        else:
            tensors = safetensors.torch.load(data)
            metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], 'little')]).get('__metadata__') or {}
        settings = metadata.get(SETTINGS_KEY)
    except (SafetensorError, OSError, LookupError) as error:
        raise InputError(f"Weights '{path}' cannot be read as safetensors: {first_line(error)}.") from None
    try:
        return tensors, None if settings is None else json.loads(settings)
    except (ValueError, RecursionError) as error:  # a number that is too long is a ValueError
        raise InputError(f"Weights '{path}': '{SETTINGS_KEY}' in the metadata is not JSON: {error}.") from None


def _unpickled(path: Path, data: bytes | None, on_disk: bool) -> Any:
    """Return tensors and plain containers from a pickle; anything else in it is rejected, not executed.

    A Namespace is a container too: it takes attributes and runs nothing. Released checkpoints hold their options in it.
    """
    in_place = on_disk and zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter('ignore')  # about unusual pickles; errors are reported below
            source = path if data is None else io.BytesIO(data)
            return torch.load(source, map_location='cpu', weights_only=True, mmap=in_place)
    except Exception as error:  # a damaged file can raise anything, from IndexError to struct.error
        refused = re.search(r'GLOBAL (\S+)', str(error))
    # torch's own message recommends loading the file unsafely.
    reason = (
        f'it holds Python objects ({refused[1]}), which are never executed; save only its state_dict()'
        if refused
        else 'it is damaged, truncated or not a checkpoint; get the file again'
    )
    raise InputError(f"Weights '{path}' cannot be read as a checkpoint: {reason}.")


def _check_section(settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise InputError(f"'{SETTINGS_KEY}' must be a section of options, not {quoted(settings)}.")


def _finite(key: object, value: Tensor) -> Tensor:
    """Check that a tensor holds finite real numbers; integers are allowed, since networks have counters."""
    is_float8 = value.is_floating_point() and value.dtype.itemsize == 1
    if value.is_meta or value.is_quantized or value.is_complex() or is_float8:
        kind = 'no numbers (device meta)' if value.is_meta else f'numbers of {value.dtype}'
        raise InputError(f"'{key}' holds {kind}: save the weights in float32 or float16.")
    try:
        is_finite = bool(dense(value).isfinite().all())
    except RuntimeError:  # a small file can request any amount of memory
        is_finite = False
    if not is_finite:
        raise InputError(f"'{key}' does not hold finite numbers: use another checkpoint.")
    return value


def dense(value: Tensor) -> Tensor:
    """Return the tensor with strided memory, as in a network."""
    return value if value.layout == torch.strided else value.to_dense()
