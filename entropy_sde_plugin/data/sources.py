"""Sets of named images, in a folder or in LMDB, and the pairing of two of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from entropy_sde_plugin.data import images
from entropy_sde_plugin.data.folders import FolderFiles, files_below, listed, name_below
from entropy_sde_plugin.data.lmdb import LmdbReader
from entropy_sde_plugin.data.sizes import check_equal_sizes
from entropy_sde_plugin.errors import InputError, about
from entropy_sde_plugin.utils.distributed import warn
from entropy_sde_plugin.utils.problems import Problems, collecting

__all__ = [
    'ImageFolder',
    'ImageSource',
    'NamedImage',
    'NamedSet',
    'NamedSizes',
    'Pair',
    'by_templates',
    'check_sizes',
    'match_pairs',
    'open_source',
    'renamed',
    'template_pairs',
]


class NamedSet(Protocol):
    """A set of images with names, which can be paired.

    Attributes:
        option: The option that named the set, for errors; may be empty.
    """

    option: str

    @property
    def path(self) -> Path:
        """The set's folder or database."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The names, sorted."""
        ...

    def where(self, name: str) -> str:
        """Return the path of one image, for messages and as the path of a sample."""
        ...


class NamedSizes(NamedSet, Protocol):
    """A set of images with names and sizes."""

    def size(self, name: str) -> tuple[int, int]:
        """Return (height, width) without decoding the image."""
        ...


class ImageSource(NamedSizes, Protocol):
    """A set of images."""

    def image(self, name: str) -> images.RGBImage:
        """Return the image, shape (H, W, 3), uint8, RGB."""
        ...


class ImageFolder:
    """The images of a folder and its subfolders, named by their paths in it without suffix, as ``'trip/00001'``.

    Bytes of a path that are not UTF-8 are escaped in its name (``printable``), which goes into records and paths.
    Hidden files are left alone.

    Args:
        path: The folder.
        problems: Collects names that differ only in their suffix; the first of them is used.

    Attributes:
        left_out: What it holds beside images: other files, and links to folders.

    Raises:
        InputError: The folder does not exist or holds no images, or, without ``problems``, names differ only in their
            suffix.
    """

    option = ''
    """The option that named the folder, for errors."""

    def __init__(self, path: str | Path, problems: Problems | None = None) -> None:
        self.path = Path(path)
        found = self._list()
        self.left_out = found.others
        files = defaultdict(list)
        for file in found.images:
            files[name_below(file, self.path)].append(file)
        with collecting(problems) as faults:
            for same in files.values():
                if len(same) > 1:
                    shared = ' and '.join(file.name for file in same)
                    faults.add(f'{same[0].parent}: {shared} share a name; rename or remove one.')
        if not files:
            raise InputError(f"'{path}' holds no images, which are files with a suffix such as .jpg or .png.")
        self._files = {name: same[0] for name, same in files.items()}
        self.names = tuple(sorted(self._files))

    def _list(self) -> FolderFiles:
        try:
            return files_below(self.path)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # the last of a zero byte
            message = f"'{self.path}' is not a folder. Check the path; that of a database ends in .lmdb."
            raise InputError(message) from None
        except OSError as error:
            raise InputError(f"'{error.filename}' cannot be read ({error.strerror}).") from None

    def warn_of_left_out(self) -> None:
        """Print what the folder holds beside images, once for all processes."""
        if self.left_out:
            ignored = listed([file.relative_to(self.path) for file in self.left_out])
            warn(f'ignored in {self.path} (not images): {ignored}')

    def where(self, name: str) -> str:
        """Return the file's path."""
        return str(self._files[name])

    def size(self, name: str) -> tuple[int, int]:
        """Return (height, width) from the file's header."""
        return images.header_size(self._files[name])

    def image(self, name: str) -> images.RGBImage:
        """Return the image, shape (H, W, 3), uint8, RGB."""
        return images.read(self._files[name])


def open_source(path: str | Path, backend: Literal['lmdb', 'disk'] | None = None, *, option: str = '') -> ImageSource:
    """Open a folder of images or a database, and print what a folder holds beside images.

    Args:
        path: The folder or database.
        backend: Which of the two it is; by default the suffix ``.lmdb`` decides.
        option: The option that names ``path``; errors about the set carry it.

    Raises:
        InputError: The folder or database does not exist or cannot be read.
    """
    is_database = backend == 'lmdb' or (backend is None and str(path).rstrip('/').endswith('.lmdb'))
    with about(option):
        if is_database:
            source = LmdbReader(path)
        else:
            source = ImageFolder(path)
            source.warn_of_left_out()
    source.option = option
    return source


class Pair(NamedTuple):
    """Names of one sample in its two sets; ``gt`` is None for an input without ground truth."""

    lq: str
    gt: str | None


def renamed(name: str, rename: Callable[[str], str]) -> str:
    """Rename an image within its subfolder.

    Example:
        >>> renamed('trip/00001', '{}_low'.format)
        'trip/00001_low'
    """
    folder, slash, last = name.rpartition('/')
    return f'{folder}{slash}{rename(last)}'


def by_templates(gt_template: str, lq_template: str) -> Callable[[str], str]:
    """Return a function from the name of a bright image to that of its dark partner.

    Args:
        gt_template: Name of the bright image around ``{}``, the part that partners share.
        lq_template: Name of the dark image around the same part.

    Returns:
        A function that raises an ``InputError`` for a name that does not follow ``gt_template``.

    Example:
        >>> by_templates('normal{}', 'low{}')('normal00001')
        'low00001'
    """
    before, _, after = gt_template.partition('{}')

    def lq_name(name: str) -> str:
        shared = name.removeprefix(before).removesuffix(after)
        if f'{before}{shared}{after}' != name:
            raise InputError(f"the name does not have the form '{gt_template}'.")
        return lq_template.replace('{}', shared)

    return lq_name


def template_pairs(
    lq: NamedSet, gt: NamedSet, templates: tuple[str, str], names: Sequence[str] | None = None
) -> list[Pair]:
    """Pair images whose names follow templates; see :func:`match_pairs` for the other arguments.

    Args:
        lq: The dark images.
        gt: The bright images.
        templates: Templates of a bright and a dark name; see :func:`by_templates`.
        names: Names of the bright images to use.

    Raises:
        InputError: One line per image without a partner, and another that says what to do where none has one, or all
            lie in one folder.
    """
    problems = Problems()
    pairs = match_pairs(lq, gt, by_templates(*templates), names, problems)
    if not pairs:
        problems.add(
            "Partners have one name. Where theirs differ, filename_tmpl and filename_tmpl_gt say how: 'low{}' and "
            "'normal{}' pair low00001 with normal00001."
        )
    elif problems and lq.path.samefile(gt.path):
        problems.add('Where the images of both sides lie in one folder, meta_info_file names the bright ones.')
    problems.raise_any()
    return pairs


def match_pairs(
    lq: NamedSet,
    gt: NamedSet,
    lq_name: Callable[[str], str] = str,
    names: Sequence[str] | None = None,
    problems: Problems | None = None,
) -> list[Pair]:
    """Pair the dark images with the bright ones.

    Args:
        lq: The dark images.
        gt: The bright images.
        lq_name: Returns the name of the dark image for that of the bright one, both without their common subfolder.
        names: Names of the bright images to use; by default all, and then every dark image must have a partner.
        problems: Collects images without a partner.

    Returns:
        The pairs, in the order of ``names``. Where images are paired with themselves, a warning is printed.

    Raises:
        InputError: Without ``problems``, one line per image without a partner.
    """
    bright, dark = set(gt.names), set(lq.names)
    pairs = []
    with collecting(problems) as faults:
        for name in gt.names if names is None else names:
            if name not in bright:
                faults.add(f"{gt.path}: there is no image '{name}'.", gt.option)
                continue
            with faults.collect(gt.option):
                partner = _partner(name, gt, lq_name)
                if partner in dark:
                    pairs.append(Pair(partner, name))
                else:
                    faults.add(f"{gt.where(name)}: its partner '{partner}' is not in {lq.path}.", gt.option)
        if names is None:
            for name in sorted(dark.difference(pair.lq for pair in pairs)):
                faults.add(f'{lq.where(name)}: no partner in {gt.path}.', lq.option)
    if any(pair.lq == pair.gt for pair in pairs) and lq.path.samefile(gt.path):
        names_of_it = f'{lq.option} and {gt.option} name it' if gt.option else 'it is given for both'
        warn(f"'{gt.path}': its images are compared with themselves, since {names_of_it}.")
    return pairs


def _partner(name: str, gt: NamedSet, lq_name: Callable[[str], str]) -> str:
    try:
        return renamed(name, lq_name)
    except InputError as error:
        raise InputError(f'{gt.where(name)}: {error}', error.option) from None


def check_sizes(lq: ImageSource, gt: ImageSource, pairs: Sequence[Pair]) -> None:
    """Check from the headers that the images of each pair are readable and have the same size.

    Raises:
        InputError: One line per offending pair or unreadable image.
    """
    problems = Problems()
    named = ((NamedImage(lq, dark), NamedImage(gt, bright)) for dark, bright in pairs if bright is not None)
    check_equal_sizes(named, problems, options=(lq.option, gt.option))
    problems.raise_any()


@dataclass(frozen=True)
class NamedImage:
    """An image of a set, by its name."""

    source: NamedSizes
    name: str

    @property
    def where(self) -> str:
        return self.source.where(self.name)

    def size(self) -> tuple[int, int]:
        return self.source.size(self.name)
