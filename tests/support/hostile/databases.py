"""Malformed LMDB databases where training and evaluation meet them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import numpy as np

from tests.support.hostile import materials
from tests.support.hostile.damage import SURE, UNSURE
from tests.support.hostile.harness import Build, Trial

VICTIM = materials.NAMES[1]


def cases() -> Iterator[tuple[str, Build]]:
    """``gt.lmdb`` is malformed."""
    for verb in ('train', 'evaluate'):
        for name, damage in {**SURE, **UNSURE}.items():
            yield f'{verb}: data.mdb, {name}', _build(verb, _file('data.mdb', damage), name in UNSURE)
            yield f'{verb}: meta_info.txt, {name}', _build(verb, _file('meta_info.txt', damage), name in UNSURE)
            yield f'{verb}: a value, {name}', _build(verb, _value(damage), name in UNSURE, f'gt.lmdb/{VICTIM}')
        for name, change in CHANGES.items():
            yield f'{verb}: {name}', _build(verb, change, may_pass=name in GRAY)


Change = Callable[[Path, np.random.Generator], None]


def _build(verb: str, change: Change, may_pass: bool, culprit: str = 'gt.lmdb') -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        materials.write_databases(place)
        change(place / 'gt.lmdb', rng)
        if verb == 'evaluate':
            command = ('evaluate', '--result', 'lq.lmdb', '--truth', 'gt.lmdb', '--metrics', 'psnr')
        else:
            command = ('train', '-opt', materials.write_options(place, materials.training('.lmdb')))
        return Trial(command, (culprit,), may_pass)

    return build


def _file(name: str, damage: Callable[[bytes, np.random.Generator], bytes]) -> Change:
    def change(database: Path, rng: np.random.Generator) -> None:
        path = database / name
        path.write_bytes(damage(path.read_bytes(), rng))

    return change


def _value(damage: Callable[[bytes, np.random.Generator], bytes]) -> Change:
    return lambda database, rng: _put(database, VICTIM, damage(materials.encoded(VICTIM, 'png'), rng) or b'')


def _put(database: Path, key: str, value: bytes | None) -> None:
    with lmdb.open(str(database), map_size=64 << 20) as environment, environment.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key.encode())
        else:
            transaction.put(key.encode(), value)
    (database / 'lock.mdb').unlink(missing_ok=True)


def _meta(lines: Callable[[list[str]], list[str] | str]) -> Change:
    def change(database: Path, rng: np.random.Generator) -> None:
        path = database / 'meta_info.txt'
        changed = lines(path.read_text().splitlines())
        text = changed if isinstance(changed, str) else '\n'.join(changed) + '\n'
        path.write_text(text, encoding='utf-8')

    return change


def _renamed(old: str, new: str) -> Change:
    def change(database: Path, rng: np.random.Generator) -> None:
        _put(database, old, None)
        _put(database, new, materials.encoded(VICTIM, 'png'))

    return change


def _without(name: str) -> Change:
    return lambda database, rng: (database / name).unlink()


def _replaced_by(kind: str) -> Change:
    def change(database: Path, rng: np.random.Generator) -> None:
        shutil.rmtree(database)
        if kind == 'a file':
            database.write_bytes(b'a database')
        elif kind == 'an empty folder':
            database.mkdir()
        elif kind == 'a link to itself':
            database.symlink_to(database.name)

    return change


GRAY = 'meta_info with one channel'  # of a set of gray images, which is no fault

CHANGES: dict[str, Change] = {
    'a missing key': lambda database, rng: _put(database, VICTIM, None),
    'a key renamed': _renamed(VICTIM, 'stranger'),
    'a key too many': lambda database, rng: _put(database, 'stranger', materials.encoded(VICTIM, 'png')),
    'no meta_info.txt': _without('meta_info.txt'),
    'no data.mdb': _without('data.mdb'),
    'meta_info without sizes': _meta(lambda lines: [line.split()[0] for line in lines]),
    'meta_info of another kind': _meta(lambda lines: [f'{line.split()[0]},{line.split()[1]}' for line in lines]),
    'meta_info as JSON': _meta(lambda lines: '{"keys": ["a", "b"]}'),
    'meta_info with a line twice': _meta(lambda lines: [*lines, lines[0]]),
    'meta_info without a line': _meta(lambda lines: lines[1:]),
    'meta_info with another size': _meta(
        lambda lines: [line.replace('(40,40,3)', '(60,60,3)') if VICTIM in line else line for line in lines]
    ),
    GRAY: _meta(lambda lines: [line.replace(',3)', ',1)') for line in lines]),
    'meta_info with a size of 30 digits': _meta(
        lambda lines: [line.replace('(40,', f'({"9" * 30},') if VICTIM in line else line for line in lines]
    ),
    'meta_info with a size of 9,999 digits': _meta(
        lambda lines: [line.replace('(40,', f'({"9" * 9999},') if VICTIM in line else line for line in lines]
    ),
    'meta_info with a key of 600 bytes': _meta(lambda lines: [line.replace(VICTIM, 'k' * 600) for line in lines]),
    'meta_info with an empty line': _meta(lambda lines: ['', *lines]),
    'meta_info with other keys': _meta(lambda lines: [line.replace(VICTIM, 'stranger') for line in lines]),
    'a file in its place': _replaced_by('a file'),
    'an empty folder in its place': _replaced_by('an empty folder'),
    'a link to itself in its place': _replaced_by('a link to itself'),
}
