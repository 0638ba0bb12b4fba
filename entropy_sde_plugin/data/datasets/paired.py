"""The user's own pairs of dark and bright images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from entropy_sde_plugin.data.datasets.base import PairDataset
from entropy_sde_plugin.data.images import IMAGE_SUFFIXES
from entropy_sde_plugin.data.options import PairOptions, check_templates, options_of
from entropy_sde_plugin.data.sources import NamedSet, Pair, open_source, template_pairs
from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.utils.paths import regular
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['PairedLowLightDataset', 'PairedLowLightOptions']

_SIZE = re.compile(r'\s+\(\d+,\s*\d+,\s*\d+\).*')
"""What BasicSR's tools write after a name: (h,w,c), and in a database the compression."""


class PairedLowLightOptions(PairOptions, kw_only=True, frozen=True):
    """Options of ``PairedLowLightDataset``; their names are those of BasicSR's ``PairedImageDataset``."""

    dataroot_lq: str
    """Folder or database of the dark images."""
    dataroot_gt: str | None = None
    """Folder or database of the bright images; optional in validation and test."""
    filename_tmpl: str = '{}'
    """Template for the name of the dark image: ``{}`` is the name of the bright one without suffix, e.g.
    ``'{}_low'``."""
    filename_tmpl_gt: str = '{}'
    """Name of the bright image where ``{}`` is only the part that partners share: ``'normal{}'`` with
    ``filename_tmpl: 'low{}'``."""
    meta_info_file: str | None = None
    """Text file that names a bright image to use in each line, and may give its size as BasicSR does; all images by
    default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_templates(filename_tmpl=self.filename_tmpl, filename_tmpl_gt=self.filename_tmpl_gt)
        if self.dataroot_gt is None and (self.phase == 'train' or self.meta_info_file is not None):
            reason = "'dataroot_gt', the folder or database of the bright images, is missing."
            raise InputError(reason, option='dataroot_gt')

    @property
    def has_truth(self) -> bool:
        return self.dataroot_gt is not None

    @property
    def templates(self) -> tuple[str, str]:
        """The templates of a bright and of a dark name."""
        return self.filename_tmpl_gt, self.filename_tmpl


class PairedLowLightDataset(PairDataset):
    """Pairs from two folders or two LMDB databases, matched by name; see ``PairDataset`` for the items.

    Args:
        opt: Section of the option file; see ``PairedLowLightOptions``.

    Raises:
        InputError: Wrong option, an image without a partner, or an error of ``PairDataset``.

    Example:
        >>> opt = {'name': 'own', 'phase': 'train', 'gt_size': 32, 'use_hflip': True, 'use_rot': True}
        >>> opt |= {'dataroot_lq': 'datasets/own/train/low', 'dataroot_gt': 'datasets/own/train/high', 'seed': 0}
        >>> tuple(PairedLowLightDataset(opt)[0]['gt'].shape)
        (3, 32, 32)
    """

    Options = PairedLowLightOptions

    def __init__(self, opt: dict[str, Any]) -> None:
        options = options_of(PairedLowLightOptions, opt)
        lq = open_source(options.dataroot_lq, options.backend, option='dataroot_lq')
        if options.dataroot_gt is None:
            super().__init__(opt, options, lq, None, [Pair(name, None) for name in lq.names])
            return
        gt = open_source(options.dataroot_gt, options.backend, option='dataroot_gt')
        names = _listed_names(options.meta_info_file, gt) if options.meta_info_file is not None else None
        super().__init__(opt, options, lq, gt, template_pairs(lq, gt, options.templates, names))


def _listed_names(path: str, gt: NamedSet) -> Sequence[str]:
    """Return the names of the bright images that a BasicSR meta information file lists."""
    try:
        text = regular(Path(path)).read_text(encoding='utf-8-sig', errors='surrogateescape')
    except OSError as error:
        raise InputError(
            f"meta_info_file '{path}' cannot be read ({error.strerror}).", option='meta_info_file'
        ) from None
    if '\0' in text:
        raise InputError(f"meta_info_file '{path}' is UTF-16 or no text: save it as UTF-8.", option='meta_info_file')
    known, problems = set(gt.names), Problems()
    counts: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            name = next((name for name in _meant_names(line) if name in known), None)
            if name is None:
                fault = f"meta_info_file '{path}', line {number}: there is no image '{line.strip()}' in {gt.path}."
                problems.add(fault, 'meta_info_file')
            else:
                counts[name] += 1
    problems.raise_any()
    if not counts:
        raise InputError(f"meta_info_file '{path}' names no images.", option='meta_info_file')
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(f"meta_info_file '{path}' names '{name}' {count} times.", option='meta_info_file')
    return list(counts)


def _meant_names(line: str) -> Iterator[str]:
    """Yield the names that a line may mean, the likeliest first: spaces and dots may belong to a name.

    Example:
        >>> list(_meant_names('my photo.png (48,64,3) 1'))
        ['my photo', 'my photo.png']
        >>> list(_meant_names('a.png 0.5'))
        ['a.png 0.5', 'a.png 0', 'a', 'a.png']
    """
    whole = _SIZE.sub('', line.strip())
    first = whole.split()[0]
    texts = [whole] if _is_file(whole) and not _is_file(first) else dict.fromkeys((whole, first))
    for text in texts:
        path = PurePosixPath(text)
        names = [printable(str(path.parent / path.stem)), printable(str(path))]
        yield from names if _is_file(text) else reversed(names)


def _is_file(text: str) -> bool:
    return PurePosixPath(text).suffix.lower() in IMAGE_SUFFIXES
