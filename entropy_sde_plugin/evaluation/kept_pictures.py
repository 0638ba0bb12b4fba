"""Where validations and tests keep the images that they restore."""

from __future__ import annotations

from pathlib import Path

__all__ = ['kept_picture']


def kept_picture(folder: Path, dataset: str, key: str, label: int | str, *, training: bool) -> Path:
    """Return the file of a restored image, which no other image of the run has.

    Args:
        folder: The run's ``visualization``.
        dataset: The data set's name.
        key: The image's name within it; may have folders.
        label: The iteration of a training; the suffix of a test.
        training: Whether the run is a training, which keeps the images of several iterations side by side.

    Example:
        >>> print(kept_picture(Path('visualization'), 'LOL', 'trip/00001', 5000, training=True))
        visualization/LOL/trip/00001/00001_5000.png
        >>> print(kept_picture(Path('visualization'), 'LOL', 'trip/00001', 'mine', training=False))
        visualization/LOL/trip/00001_mine.png
    """
    below = f'{key}/{key.rpartition("/")[2]}' if training else key
    return Path(f'{folder}/{dataset}/{below}_{label}.png')  # a key that begins with a slash stays below the folder
