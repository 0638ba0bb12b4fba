"""The real photographs in the package, and the databases that the demo makes of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.lmdb import lmdb_writer
from entropy_sde_plugin.data.synthesis import darken
from entropy_sde_plugin.utils.atomic_folder import atomic_folder

__all__ = ['EXPOSURES', 'HELD_OUT', 'TRAIN', 'photograph', 'write_demo_databases']

FOLDER = Path(__file__).with_name('photographs')
HELD_OUT = ('astronaut', 'coffee', 'china', 'life', 'friends', 'seeding')
"""Photographs for validation; no training ever sees them."""
TRAIN = tuple(sorted({path.stem for path in FOLDER.glob('*.jpg')} - set(HELD_OUT)))
EXPOSURES = (0.05, 0.1)
"""Exposures of the validation pairs."""


def photograph(name: str) -> images.RGBImage:
    """Return one of the photographs, shape (H, W, 3), uint8, RGB."""
    return images.read(FOLDER / f'{name}.jpg')


def pair_key(name: str, exposure: float) -> str:
    """Return the key of a validation pair, e.g. ``astronaut_e005`` for exposure 0.05: a key has no dot."""
    return f'{name}_e{round(exposure * 100):03d}'


def write_demo_databases(
    folder: str | Path, *, seed: int = 0, more: Iterable[tuple[str, images.RGBImage]] = ()
) -> Path:
    """Write the demo's databases, replacing earlier ones; the same seed gives the same bytes.

    ``train_gt.lmdb`` holds the bright training photographs, which the training darkens as it goes; ``val_lq.lmdb``
    and ``val_gt.lmdb`` hold pairs of the held-out photographs, one for each of ``EXPOSURES``.

    Args:
        folder: Folder that will hold the three databases and nothing else.
        seed: Seed of the noise in the dark validation images.
        more: Further photographs for the training, after those of the package: key and image.

    Returns:
        ``folder``.

    Raises:
        InputError: ``folder`` exists and holds anything but databases.
    """
    with atomic_folder(folder, overwrite=True) as part:
        with lmdb_writer(part / 'train_gt.lmdb') as train:
            for name in TRAIN:
                train.put(name, photograph(name))
            for name, picture in more:
                train.put(name, picture)
        with lmdb_writer(part / 'val_lq.lmdb') as lq, lmdb_writer(part / 'val_gt.lmdb') as gt:
            for name in HELD_OUT:
                bright = photograph(name)
                for exposure in EXPOSURES:
                    key = pair_key(name, exposure)
                    # Keyed by the pair's name: adding a photograph leaves the noise of the others as it was.
                    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
                    lq.put(key, darken(bright, exposure=exposure, rng=rng))
                    gt.put(key, bright)
    return Path(folder)
