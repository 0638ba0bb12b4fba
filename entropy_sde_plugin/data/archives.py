"""What public data sets of images and of raw files have in common: their names, and the databases made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entropy_sde_plugin.errors import InputError

__all__ = ['Archive', 'present']


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A public data set, which the user downloads as an archive.

    Attributes:
        name: Short name. Those of the databases begin with it, so that two sets cannot be confused.
        title: Its usual name.
        source: Where to get the archive.
        counts: Published number of images or pairs of each split.
    """

    name: str
    title: str
    source: str
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def prepared(self) -> str:
        """Name of the folder of databases, by default inside that of the unpacked archive."""
        return f'{self.name}_lmdb'

    def databases(self, part: str) -> tuple[str, str]:
        """Return the names of the databases of a part, a split or a camera: of its dark images and its bright ones."""
        return f'{self.name}_{part}_lq.lmdb', f'{self.name}_{part}_gt.lmdb'

    def database_places(self, part: str) -> list[tuple[str, str]]:
        """Return where the databases of a part may be: in the root itself, or in the folder ``prepared`` in it."""
        dark, bright = self.databases(part)
        return [(dark, bright), (f'{self.prepared}/{dark}', f'{self.prepared}/{bright}')]


def present(root: str | Path, places: Iterable[tuple[str, str]]) -> Iterator[tuple[Path, Path | None]]:
    """Yield those pairs of folders or databases of dark and bright images that exist; None for missing bright ones.

    Args:
        root: The folder, named by the option ``dataroot``.
        places: Pairs of paths below it.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        for dark, bright in places:
            lq, gt = Path(root, dark), Path(root, bright)
            if lq.is_dir():
                yield lq, gt if gt.is_dir() else None
    except OSError as error:  # a name too long, no permission
        raise InputError(f"'{root}' cannot be read ({error.strerror}).", option='dataroot') from None
