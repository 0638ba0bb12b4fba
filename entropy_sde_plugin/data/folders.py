"""What a folder of images holds, with its subfolders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from entropy_sde_plugin.data.images import IMAGE_SUFFIXES
from entropy_sde_plugin.errors import printable

__all__ = ['FolderFiles', 'files_below', 'listed', 'name_below']

_MOST_NAMES = 20


class FolderFiles(NamedTuple):
    """Paths below a folder, sorted folder by folder.

    Attributes:
        images: Files that are named as images.
        others: Other files, and links to folders, which are not followed.
    """

    images: list[Path]
    others: list[Path]


def files_below(folder: Path, *, without: Path | None = None) -> FolderFiles:
    """List the files of a folder and its subfolders; hidden ones are left alone.

    Args:
        folder: The folder.
        without: A folder to leave alone, resolved.

    Raises:
        OSError: A folder cannot be read, or is not a folder.
        ValueError: The path has a zero byte.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / 'trip').mkdir()
        >>> (folder / 'trip' / 'a.JPG').touch(), (folder / 'notes.txt').touch()
        (None, None)
        >>> images, others = files_below(folder)
        >>> images[0].name, others[0].name
        ('a.JPG', 'notes.txt')
    """

    def refuse(error: OSError) -> None:
        raise error

    found = FolderFiles([], [])
    for place, folders, files in os.walk(folder, onerror=refuse):
        here = Path(place)
        visible = sorted(name for name in folders if name[0] != '.' and (here / name).resolve() != without)
        folders[:] = [name for name in visible if not (here / name).is_symlink()]
        found.others.extend(here / name for name in visible if name not in folders)
        for name in sorted(name for name in files if name[0] != '.'):
            is_image = Path(name).suffix.lower() in IMAGE_SUFFIXES
            (found.images if is_image else found.others).append(here / name)
    return found


def name_below(path: Path, folder: str | Path) -> str:
    """Return the name of a file in a set: its path below the set's folder, without suffix.

    Bytes that are not UTF-8 are escaped (``printable``), since names go into records and paths.

    Raises:
        ValueError: The file is not below the folder.

    Example:
        >>> name_below(Path('pairs/low/trip/00001.png'), 'pairs/low')
        'trip/00001'
    """
    return printable(path.relative_to(folder).with_suffix('').as_posix())


def listed(paths: Sequence[Path]) -> str:
    """Return the number of files and their names, not more than a screen of them.

    Example:
        >>> listed([Path('a/notes.txt'), Path('a/b.mov')])
        '2 files: a/notes.txt, a/b.mov'
    """
    count = f'{len(paths)} {"file" if len(paths) == 1 else "files"}'
    rest = [f'and {len(paths) - _MOST_NAMES} more'] if len(paths) > _MOST_NAMES else []
    return f'{count}: {", ".join([*(printable(str(path)) for path in paths[:_MOST_NAMES]), *rest])}'
