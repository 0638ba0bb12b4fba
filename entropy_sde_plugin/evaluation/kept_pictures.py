"""Where validations and tests keep the images that they restore."""

from __future__ import annotations

import hashlib
from pathlib import Path

from entropy_sde_plugin.utils.atomic_file import LONGEST_NAME

__all__ = ['kept_picture']


def kept_picture(folder: Path, dataset: str, key: str, label: int | str, *, training: bool) -> Path:
    """Return the file of a restored image, which no other image of the run has.

    Args:
        folder: The run's ``visualization``.
        dataset: The data set's name.
        key: The image's name within it; may have folders. Names too long for a file are shortened.
        label: The iteration of a training; the suffix of a test.
        training: Whether the run is a training, which keeps the images of several iterations side by side.

    Example:
        >>> print(kept_picture(Path('visualization'), 'LOL', 'trip/00001', 5000, training=True))
        visualization/LOL/trip/00001/00001_5000.png
        >>> print(kept_picture(Path('visualization'), 'LOL', 'trip/00001', 'mine', training=False))
        visualization/LOL/trip/00001_mine.png
    """
    *folders, name = key.split('/')
    if training:
        folders.append(name)
    ending = f'_{label}.png'
    below = [_shortened(each, LONGEST_NAME) for each in folders]
    below.append(_shortened(name, LONGEST_NAME - len(ending.encode(errors='surrogateescape'))) + ending)
    return Path(f'{folder}/{dataset}/{"/".join(below)}')  # a key that begins with a slash stays below the folder


def _shortened(name: str, most: int) -> str:
    """Return a name of at most ``most`` bytes. A longer one is cut, and a hash of all of it keeps it unique."""
    content = name.encode()
    if len(content) <= most:
        return name
    mark = f'~{hashlib.sha256(content).hexdigest()[:12]}'
    return content[: most - len(mark)].decode(errors='ignore') + mark
