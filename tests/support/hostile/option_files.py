"""Malformed option files where training and test meet them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.support.hostile import materials
from tests.support.hostile.harness import CANARY, Build, Trial


def cases() -> Iterator[tuple[str, Build]]:
    """``opt.yml`` is malformed as text, by a key, by a value, or contradicts itself."""
    for name, change in TEXTS.items():
        yield f'text: {name}', _text(change)
    for number in range(20):
        yield f'a misspelt key, {number}', _misspelt
        yield f'a value of another type, {number}', _value
        yield f'a key left out, {number}', _left_out
        yield f'a changed character, {number}', _character
    for name, (change, *culprits) in CONTRADICTIONS.items():
        yield f'contradiction: {name}', _contradiction(change, tuple(culprits))


def _trial(place: Path, text: bytes, culprits: tuple[str, ...], may_pass: bool = False) -> Trial:
    materials.write_folders(place)
    (place / 'opt.yml').write_bytes(text)
    return Trial(('train', '-opt', 'opt.yml'), culprits, may_pass)


def _sound() -> str:
    return yaml.safe_dump(materials.training(), sort_keys=False)


# --- text -------------------------------------------------------------------------------------------------------------


def _text(change: Callable[[str], str | bytes]) -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        text = change(_sound())
        return _trial(place, text if isinstance(text, bytes) else text.encode(), ('opt.yml',))

    return build


def _bomb() -> str:
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    lines += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12)]
    return '\n'.join(lines) + '\n'


def _with(line: str) -> Callable[[str], str]:
    return lambda text: text + line + '\n'


TEXTS: dict[str, Callable[[str], str | bytes]] = {
    'empty': lambda text: '',
    'a comment alone': lambda text: '# options\n',
    'a list': lambda text: '- a\n- b\n',
    'a word': lambda text: 'options\n',
    'two documents': lambda text: text + '---\n' + text,
    'an open bracket': lambda text: text.replace('[0.9, 0.99]', '[0.9, 0.99').replace('- 0.9\n', '- [0.9\n'),
    'an open quote': _with('x: "abc'),
    'a tabulator': _with('x:\n\ty: 1'),
    'no colon': _with('total_iter 4'),
    'wrong indentation': lambda text: text.replace('  lq', ' lq').replace('  total_iter', '   total_iter'),
    'not UTF-8': lambda text: text.encode() + b'# gr\xfc\xdfe\nx: \xe9\n',
    'UTF-16': lambda text: (text + 'x: 1\n').encode('utf-16'),
    'zero bytes': lambda text: text.encode() + b'x: \0\0\n',
    'control characters': lambda text: text.encode() + b'x: \x1b[31m\n',
    'binary': lambda text: bytes(range(256)) * 20,
    'an alias without anchor': _with('x: *nowhere'),
    'an anchor in itself': _with('x: &x [*x]'),
    'a section in itself': lambda text: text.replace('path:\n', 'path: &path\n  again: *path\n'),
    'a billion laughs': lambda text: text + _bomb(),
    'a billion laughs for a value': lambda text: _bomb() + text.replace('name: run', 'name: *a11'),
    'nested too deep': _with('x: ' + '[' * 5000 + ']' * 5000),
    'a key twice': _with('manual_seed: 7'),
    'a section twice': _with('train:\n  total_iter: 3'),
    'a key twice within a section': lambda text: text.replace(
        '  total_iter: 2\n', '  total_iter: 2\n  total_iter: 3\n'
    ),
    'a key twice in a line': _with('x: {a: 1, a: 2}'),
    'a number as key': _with('7: 1'),
    'none as key': _with('~: 1'),
    'a list as key': _with('? [a, b]\n: 1'),
    'a section as key': _with('? {a: b}\n: 1'),
    'a date as key': _with('2024-01-01: 1'),
    'a merge of what is no section': _with('<<: 3'),
    'an unknown tag': _with('x: !unknown 3'),
    'a wrong number tag': _with('x: !!float abc'),
    'a wrong date': _with('x: 2024-99-99'),
    'a number in base 60 that is none': _with('x: !!int 1:x'),
    'a set for a section': lambda text: text.replace('path:\n', 'path: !!set\n  ? a\npath2:\n'),
    'binary data': _with('x: !!binary "%%%"'),
    'python/object/apply': _with(f'x: !!python/object/apply:os.system ["touch {CANARY}"]'),
    'python/object/new': _with(f'x: !!python/object/new:os.system ["touch {CANARY}"]'),
    'python/object': _with('x: !!python/object:subprocess.Popen {args: ls}'),
    'python/name': _with('x: !!python/name:os.system'),
    'python/module': _with('x: !!python/module:antigravity'),
    'python/tuple': _with('x: !!python/tuple [1, 2]'),
    'python in a value of ours': lambda text: text.replace(
        'name: run', f'name: !!python/object/apply:os.system ["touch {CANARY}"]'
    ),
}


# --- keys and values --------------------------------------------------------------------------------------------------


def _paths(section: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in section.items() if isinstance(section, dict) else ():
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _drawn(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]:
    """Options, one of their sections, and the path of a key in it."""
    opt = copy.deepcopy(materials.training())
    paths = [path for path in _paths(opt) if path[:2] not in {('val', 'metrics')} and path != ('datasets', 'val')]
    path = paths[int(rng.integers(len(paths)))]
    section = opt
    for key in path[:-1]:
        section = section[key]
    return opt, section, path


def _misspelt(place: Path, rng: np.random.Generator) -> Trial:
    opt, section, path = _drawn(rng)
    key = path[-1]
    at = int(rng.integers(1, len(key))) if len(key) > 1 else 0
    wrong = [key[:at] + 'q' + key[at:], key[:at] + key[at + 1 :] + 'z', key[:at] + 'q' + key[at + 1 :]]
    wrong_key = wrong[int(rng.integers(3))]
    section[wrong_key] = section.pop(key)
    return _trial(place, yaml.safe_dump(opt, sort_keys=False).encode(), ('opt.yml, line ', path[-1]))


def _value(place: Path, rng: np.random.Generator) -> Trial:
    opt, section, path = _drawn(rng)
    strange: list[Any] = [
        None, True, -1, 0, 0.5, 1e308, 10**30, float('nan'), float('inf'), '', 'text', '1e5', 'a' * 3000, [], [1], {},
        {'a': 1}, [[[]]], '../../x', '\0', 'é',
    ]  # fmt: skip
    section[path[-1]] = strange[int(rng.integers(len(strange)))]
    if opt['train'] and isinstance(opt['train'], dict):
        total = opt['train'].get('total_iter')
        if isinstance(total, (int, float)) and total > 3:
            opt['train']['total_iter'] = None  # what would be right would take for ever
    return _trial(place, yaml.safe_dump(opt, sort_keys=False).encode(), (), may_pass=True)


def _left_out(place: Path, rng: np.random.Generator) -> Trial:
    opt, section, path = _drawn(rng)
    del section[path[-1]]
    return _trial(place, yaml.safe_dump(opt, sort_keys=False).encode(), (), may_pass=True)


def _character(place: Path, rng: np.random.Generator) -> Trial:
    text = bytearray(_sound().encode())
    for at in rng.integers(len(text), size=int(rng.integers(1, 3))):
        text[at] = int(rng.integers(32, 127))
    return _trial(place, bytes(text), (), may_pass=True)


# --- contradictions ---------------------------------------------------------------------------------------------------


def _contradiction(change: Callable[[dict[str, Any]], Any], culprits: tuple[str, ...]) -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        opt = materials.training()
        change(opt)
        return _trial(place, yaml.safe_dump(opt, sort_keys=False).encode(), culprits)

    return build


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(opt: dict[str, Any]) -> None:
        *sections, key = path.split('.')
        for section in sections:
            opt = opt[section]
        opt[key] = value

    return change


CONTRADICTIONS: dict[str, tuple[Any, ...]] = {
    'a crop larger than the images': (_set('datasets.train.gt_size', 41), 'opt.yml, line ', 'gt_size', 'lq'),
    'a crop of 10^9 pixels': (_set('datasets.train.gt_size', 10**9), 'opt.yml, line ', 'gt_size'),
    'one level': (_set('train.entropy_opt.levels', 1), 'opt.yml, line ', 'levels'),
    'a million levels': (_set('train.entropy_opt.levels', 10**6), 'opt.yml, line ', 'levels'),
    'even windows': (_set('train.entropy_opt.windows', [2]), 'opt.yml, line ', 'windows'),
    'T = 10^9': (_set('sde.T', 10**9), 'opt.yml, line ', 'sde.T'),
    'more steps than T': (_set('sampler.steps', 5), 'opt.yml, line ', 'sampler.steps'),
    'a width of 10^9': (_set('network_g.width', 10**9), 'opt.yml, line ', 'network_g'),
    'a width of 10^6': (_set('network_g.width', 10**6), 'opt.yml, line ', 'network_g'),
    'a million blocks': (_set('network_g.enc_blk_nums', [10**6]), 'opt.yml, line ', 'enc_blk_nums'),
    'a hundred levels': (
        lambda opt: opt['network_g'].update(enc_blk_nums=[1] * 100, dec_blk_nums=[1] * 100),
        'opt.yml, line ',
        'enc_blk_nums',
    ),
    'minus one GPU': (_set('num_gpu', -1), 'opt.yml, line ', 'num_gpu'),
    'a border that leaves nothing': (_set('val.metrics.psnr.crop_border', 20), 'opt.yml, line ', 'crop_border'),
    'a border that is negative': (_set('val.metrics.psnr.crop_border', -1), 'opt.yml, line ', 'crop_border'),
    'no blocks': (_set('network_g.enc_blk_nums', []), 'opt.yml, line ', 'network_g'),
    'a batch of 10^9': (_set('datasets.train.batch_size_per_gpu', 10**9), 'batch_size_per_gpu'),
    'a negative learning rate': (_set('train.optim_g.lr', -1), 'opt.yml, line ', 'optim_g'),
    'an infinite learning rate': (_set('train.optim_g.lr', float('inf')), 'opt.yml, line ', 'optim_g.lr'),
    'betas of one number': (_set('train.optim_g.betas', [0.9]), 'opt.yml, line ', 'optim_g'),
    'a learning rate that is text': (_set('train.optim_g.lr', 'fast'), 'opt.yml, line ', 'optim_g'),
    'a name that is a path upwards': (_set('name', '../run'), 'opt.yml, line ', 'name'),
    'a name that is the folder above': (_set('name', '..'), 'opt.yml, line ', 'name'),
    'a name that is empty': (_set('name', ''), 'opt.yml, line ', 'name'),
    'a name of 300 characters': (_set('name', 'n' * 300), 'opt.yml, line ', 'name'),
    'an absolute name': (_set('name', '/elsewhere/run'), 'opt.yml, line ', 'name'),
    'no such folder': (_set('datasets.train.dataroot_gt', 'nowhere'), 'opt.yml, line ', 'nowhere'),
    'no such weights': (_set('path.pretrain_network_g', 'nowhere.pth'), 'opt.yml, line ', 'nowhere.pth'),
    'no such training state': (_set('path.resume_state', 'nowhere.state'), 'nowhere.state'),
    'a training state that is an image': (
        _set('path.resume_state', f'gt/{materials.NAMES[0]}.png'),
        'path.resume_state: gt/',
    ),
    'a metric without truth': (
        lambda opt: opt['datasets']['val'].pop('dataroot_gt'),
        'opt.yml, line ',
        'datasets.val',
        'ground truth',
    ),
}
