"""Malformed weights where conversion, enhancement, test and training meet them."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.support.hostile import materials
from tests.support.hostile.damage import SURE, UNSURE
from tests.support.hostile.harness import CANARY, Build, Trial

VERBS = ('convert', 'enhance', 'test', 'train')


def cases() -> Iterator[tuple[str, Build]]:
    """The weights are malformed; in turn a command of each kind meets them."""
    made = [*_damaged(), *_codes(), *_checkpoints(), *_safetensors()]
    for number, (name, content, may_pass) in enumerate(made):
        for verb in {VERBS[number % 4], 'convert'}:
            yield f'{verb}: {name}', _build(verb, content, may_pass)


Content = Callable[[np.random.Generator], bytes]


def _build(verb: str, content: Content, may_pass: bool) -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        (place / 'weights.pth').write_bytes(content(rng))
        if verb == 'convert':
            return Trial(('convert', 'weights.pth', 'out.safetensors'), ('weights.pth',), may_pass)
        if verb == 'enhance':
            (place / 'dark.png').write_bytes(materials.encoded(materials.NAMES[0], 'png'))
            return Trial(
                ('enhance', '-i', 'dark.png', '-o', 'out', '--model', 'weights.pth'), ('weights.pth',), may_pass
            )
        materials.write_folders(place)
        opt = materials.testing() if verb == 'test' else materials.training()
        opt['path']['pretrain_network_g'] = 'weights.pth'
        return Trial((verb, '-opt', materials.write_options(place, opt)), ('weights.pth',), may_pass)

    return build


def _damaged() -> Iterator[tuple[str, Content, bool]]:
    for name, damage in {**SURE, **UNSURE}.items():
        yield f'checkpoint, {name}', lambda rng, d=damage: d(materials.checkpoint(), rng), name in UNSURE
        yield f'safetensors, {name}', lambda rng, d=damage: d(_good_safetensors(), rng), name in UNSURE


# --- code -------------------------------------------------------------------------------------------------------------


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def _codes() -> Iterator[tuple[str, Content, bool]]:
    import os
    import subprocess

    calls = {
        'os.system': Runs(os.system, f'touch {CANARY}'),
        'eval': Runs(eval, f"open('{CANARY}', 'w').close()"),
        'exec': Runs(exec, f"open('{CANARY}', 'w').close()"),
        'open': Runs(open, CANARY, 'w'),
        'subprocess': Runs(subprocess.call, ['touch', CANARY]),
        'torch.save': Runs(torch.save, 1, CANARY),
    }
    for name, call in calls.items():
        yield f'a pickle that calls {name}', lambda rng, c=call: pickle.dumps(c, int(rng.integers(0, 6))), False
        yield f'a checkpoint that calls {name}', lambda rng, c=call: _saved({'params': {'a': c}}), False
        yield (
            f'an old checkpoint that calls {name}',
            lambda rng, c=call: _saved(
                {'params': materials.network().state_dict(), 'extra': c}, _use_new_zipfile_serialization=False
            ),
            False,
        )
    yield 'a whole module', lambda rng: _saved(materials.network()), False
    yield 'a module in the settings', lambda rng: _saved(_good() | {'entropy_sde': materials.network()}), False


# --- wrong content ----------------------------------------------------------------------------------------------------


def _saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _good() -> dict[str, Any]:
    return {'params': dict(materials.network().state_dict()), 'entropy_sde': materials.SETTINGS}


def _tensors(change: Callable[[dict[str, torch.Tensor], str], Any]) -> Content:
    """A checkpoint in which one tensor, drawn, is changed."""

    def content(rng: np.random.Generator) -> bytes:
        state = {key: value.clone() for key, value in materials.network().state_dict().items()}
        key = sorted(state)[int(rng.integers(len(state)))]
        change(state, key)
        return _saved({'params': state, 'entropy_sde': materials.SETTINGS})

    return content


def _checkpoints() -> Iterator[tuple[str, Content, bool]]:
    changes: dict[str, Callable[[dict[str, Any], str], Any]] = {
        'NaN': lambda state, key: state[key].view(-1).__setitem__(0, float('nan')),
        'infinity': lambda state, key: state[key].view(-1).__setitem__(-1, float('inf')),
        'a missing tensor': lambda state, key: state.pop(key),
        'a tensor too many': lambda state, key: state.__setitem__('stranger', state[key]),
        'a renamed tensor': lambda state, key: state.__setitem__(key + 'x', state.pop(key)),
        'another shape': lambda state, key: state.__setitem__(key, state[key][None]),
        'an empty tensor': lambda state, key: state.__setitem__(key, state[key].new_empty(0)),
        'integers': lambda state, key: state.__setitem__(key, state[key].long()),
        'complex numbers': lambda state, key: state.__setitem__(key, state[key].to(torch.complex64)),
        'text for a tensor': lambda state, key: state.__setitem__(key, 'weights'),
        'none for a tensor': lambda state, key: state.__setitem__(key, None),
        'a number as key': lambda state, key: state.__setitem__(3, state.pop(key)),
        'a tensor of 2^40 numbers': lambda state, key: state.__setitem__(key, torch.zeros(1).expand(2**20, 2**20)),
        'a tensor on the device meta': lambda state, key: state.__setitem__(key, torch.empty(3, device='meta')),
        'quantised numbers': lambda state, key: state.__setitem__(
            key, torch.quantize_per_tensor(state[key], 0.1, 0, torch.qint8)
        ),
    }
    for name, change in changes.items():
        yield f'a checkpoint with {name}', _tensors(change), False
    wholes: dict[str, Any] = {
        'an empty dictionary': {},
        'empty params': {'params': {}},
        'params that are none': {'params': None},
        'params that are text': {'params': 'weights'},
        'a list': [1, 2],
        'a tensor': torch.zeros(3),
        'text': 'weights',
        'none': None,
        'a training state': {'epoch': 1, 'iter': 2, 'optimizers': [], 'schedulers': []},
        'another network': {'params': torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3)).state_dict()},
        'a scalar for the first layer': {'params': {'intro.weight': torch.zeros(()), 'ending.weight': torch.zeros(())}},
        'layers of width 0': {
            'params': {'intro.weight': torch.zeros(0, 6, 3, 3), 'ending.weight': torch.zeros(3, 0, 3, 3)}
        },
        'layers of width 1': {
            'params': {'intro.weight': torch.zeros(1, 6, 3, 3), 'ending.weight': torch.zeros(3, 1, 3, 3)}
        },
    }
    for name, whole in wholes.items():
        yield f'a checkpoint that is {name}', lambda rng, w=whole: _saved(w), False
    for name, settings in _settings().items():
        yield f'settings: {name}', lambda rng, s=settings: _saved(_good() | {'entropy_sde': s}), False


def _settings() -> dict[str, Any]:
    def sde(**changed: Any) -> dict[str, Any]:
        return {**materials.SETTINGS, 'sde': {**materials.SETTINGS['sde'], **changed}}

    return {
        'text': 'sde',
        'sde is a number': {'sde': 3},
        'sde is none': {'sde': None},
        'sde is a list': {'sde': [1]},
        'T = 0': sde(T=0),
        'T = 10^12': sde(T=10**12),
        'T = 10^40': sde(T=10**40),
        'eps = 2': sde(eps=2.0),
        'max_sigma = nan': sde(max_sigma=float('nan')),
        'max_sigma = -1': sde(max_sigma=-1.0),
        'another schedule': sde(schedule='sigmoid'),
        'an unknown key': sde(sigma=1),
        'another prediction': {**materials.SETTINGS, 'prediction': 'score'},
        'a tensor for T': sde(T=torch.zeros(3)),
    }


# --- safetensors ------------------------------------------------------------------------------------------------------


def _good_safetensors() -> bytes:
    from safetensors.torch import save

    return save(dict(materials.network().state_dict()), {'entropy_sde': json.dumps(materials.SETTINGS)})


def _header(change: Callable[[dict[str, Any]], Any]) -> Content:
    def content(rng: np.random.Generator) -> bytes:
        data = _good_safetensors()
        (length,) = struct.unpack_from('<Q', data)
        header = json.loads(data[8 : 8 + length])
        header = change(header) or header
        text = json.dumps(header).encode()
        return struct.pack('<Q', len(text)) + text + data[8 + length :]

    return content


def _length(of: Callable[[int], int]) -> Content:
    def content(rng: np.random.Generator) -> bytes:
        data = _good_safetensors()
        return struct.pack('<Q', of(struct.unpack_from('<Q', data)[0])) + data[8:]

    return content


def _safetensors() -> Iterator[tuple[str, Content, bool]]:
    first = 'intro.weight'
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        'an unknown type': lambda header: header[first].update(dtype='Q7'),
        'a negative shape': lambda header: header[first].update(shape=[-4, 6, 3, 3]),
        'another shape': lambda header: header[first].update(shape=[4, 6, 9]),
        'a shape of 10^18': lambda header: header[first].update(shape=[10**18]),
        'a shape of 10^30': lambda header: header[first].update(shape=[10**30]),
        'offsets behind the end': lambda header: header[first].update(data_offsets=[0, 10**12]),
        'offsets the wrong way round': lambda header: header[first].update(data_offsets=[900, 0]),
        'no offsets': lambda header: header[first].pop('data_offsets') and None,
        'offsets that are text': lambda header: header[first].update(data_offsets='all'),
        'a missing tensor': lambda header: header.pop(first) and None,
        'metadata that is a list': lambda header: header.update(__metadata__=[1]),
        'settings that are no JSON': lambda header: header['__metadata__'].update(entropy_sde='{'),
        'settings of JSON too deep': lambda header: header['__metadata__'].update(entropy_sde='[' * 100000),
        'settings that are a number': lambda header: header['__metadata__'].update(entropy_sde='3'),
        'settings with T = 1e400': lambda header: header['__metadata__'].update(entropy_sde='{"sde": {"T": 1e400}}'),
        'settings with a number of 9,999 digits': lambda header: header['__metadata__'].update(
            entropy_sde=f'{{"sde": {{"T": {"9" * 9999}}}}}'
        ),
    }
    for name, change in changes.items():
        yield f'safetensors with {name}', _header(change), False
    yield 'safetensors with a header of 2^63 bytes', _length(lambda length: 2**63), False
    yield 'safetensors with a header of 2^40 bytes', _length(lambda length: 2**40), False
    yield 'safetensors with a header of 0 bytes', _length(lambda length: 0), False
    yield 'safetensors with a header one byte short', _length(lambda length: length - 1), False
    yield 'safetensors of the header alone', lambda rng: struct.pack('<Q', 2) + b'{}', False
