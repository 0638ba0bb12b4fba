"""The sizes of the two images of a pair, compared before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from entropy_sde_plugin.utils.problems import Problems

__all__ = ['Sized', 'check_equal_sizes']


class Sized(Protocol):
    """An image whose size is known without decoding it."""

    @property
    def where(self) -> str:
        """Its path, for messages and as the path of a sample."""
        ...

    def size(self) -> tuple[int, int]:
        """Return (height, width), of a raw image those of its planes."""
        ...


def check_equal_sizes(
    pairs: Iterable[tuple[Sized, Sized]],
    problems: Problems,
    *,
    options: tuple[str, str] = ('', ''),
    verb: str = 'is',
) -> None:
    """Check that images are readable and that the two of each pair have the same size.

    Args:
        pairs: Dark and bright images.
        problems: Collects one line per unreadable image or offending pair.
        options: The options that name the dark and the bright images.
        verb: What stands between an image and its size in a message.
    """
    for pair in pairs:
        sizes = []
        for image, option in zip(pair, options, strict=True):
            with problems.collect(option):
                sizes.append(image.size())
        if len(sizes) == 2 and sizes[0] != sizes[1]:
            first, second = (f'{image.where} {verb} {w}x{h}' for image, (h, w) in zip(pair, sizes, strict=True))
            problems.add(f'{first}, but {second}.', options[1])
