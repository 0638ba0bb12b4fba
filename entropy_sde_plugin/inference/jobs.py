"""The images to enhance and their output files, determined before any work starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entropy_sde_plugin.data.folders import files_below
from entropy_sde_plugin.data.images import IMAGE_SUFFIXES
from entropy_sde_plugin.data.raw import FOREIGN_SUFFIXES, is_raw
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.inference.pictures.formats import FORMATS
from entropy_sde_plugin.utils.atomic_file import LONGEST_NAME, existing_folder
from entropy_sde_plugin.utils.paths import not_a_file
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['DNG', 'EXTENSIONS', 'Job', 'LeftOut', 'plan']

EXTENSIONS = ('auto', 'jpg', 'png', 'webp', 'tif', 'dng')
"""Formats of the output; ``auto`` keeps the input's suffix, and writes PNG for what is read but not written."""

DNG = '.dng'
"""Suffix of the outputs of raw images that are written as such."""


@dataclass(frozen=True)
class Job:
    """One image.

    Attributes:
        source: The file to read.
        target: The file to write.
        comparison: The before | after image to write, or None.
    """

    source: Path
    target: Path
    comparison: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files that the job writes."""
        return (self.target,) if self.comparison is None else (self.target, self.comparison)

    @property
    def is_done(self) -> bool:
        """Whether all its files exist; they are complete, since they are written atomically."""
        return all(path.is_file() for path in self.outputs)


@dataclass(frozen=True)
class LeftOut:
    """What folders hold beside the images that are taken; no path twice.

    Attributes:
        others: Files that are not images, and links to folders.
        not_raw: Images that are not camera raw files, where only those are taken.
    """

    others: list[Path] = field(default_factory=list)
    not_raw: list[Path] = field(default_factory=list)


def plan(
    inputs: Sequence[Path],
    output: Path,
    *,
    suffix: str = '',
    extension: str = 'auto',
    compare: bool = False,
    raw_only: bool = False,
    left_out: LeftOut | None = None,
) -> list[Job]:
    """List the images in files and folders, with their output files.

    A file ``-i a/b.jpg`` becomes ``<output>/b<suffix>.jpg``; the images below a folder ``-i a`` become
    ``<output>/<path below a><suffix>.<extension>``. Hidden files and folders and the output folder are skipped.

    Args:
        inputs: Files and folders.
        output: The output folder, which need not exist.
        suffix: Text appended to the names.
        extension: One of ``EXTENSIONS``.
        compare: Add ``…_compare.<extension>``, a before | after image; PNG beside DNG.
        raw_only: Take camera raw files alone, for a model that restores nothing else.
        left_out: Where to note what else the folders hold.

    Returns:
        The jobs in the order of the inputs, sorted within a folder; no job twice.

    Raises:
        InputError: One line each for inputs that are not taken, images with the same output file, and outputs that
            would overwrite an input or are in the place of a folder, or a file in that of theirs.
    """
    if extension not in EXTENSIONS:
        raise InputError(f"--ext: '{extension}' is not known. {suggestion(extension, EXTENSIONS)}")
    if Path(f'x{suffix}').name != f'x{suffix}' or '\0' in suffix:
        raise InputError(f"--suffix: '{suffix}' cannot be part of a file name.")
    problems = Problems()
    jobs = []
    for given in inputs:
        with problems.collect():
            for source, name in _pictures(given, output, raw_only, left_out or LeftOut()):
                ending = _ending(source, extension)
                endings = {'': ending, '_compare': '.png' if ending == DNG else ending}
                target, comparison = (
                    output / name.with_name(f'{name.stem}{suffix}{mark}{ending}') for mark, ending in endings.items()
                )
                jobs.append(Job(source, target, comparison if compare else None))
    jobs = list(dict.fromkeys(jobs))
    _check_outputs(jobs, extension, problems)
    problems.raise_any()
    return jobs


def _ending(source: Path, extension: str) -> str:
    if extension != 'auto':
        return f'.{extension}'
    return source.suffix if source.suffix.lower() in FORMATS else '.png'


def _pictures(given: Path, output: Path, raw_only: bool, left_out: LeftOut) -> Iterator[tuple[Path, Path]]:
    """Yield the images of an input, each with its path in the output folder; note the files that are not taken."""
    if given.is_dir():
        output_itself = Path(os.path.realpath(output))  # Path.resolve fails on a link to itself
        if given.resolve() == output_itself:
            raise InputError(f"'{given}' is the input folder and the output folder; choose another for -o.")
        try:
            found = files_below(given, without=output_itself)
        except OSError as error:
            raise InputError(f"'{error.filename}': the folder cannot be read ({error.strerror}).") from None
        if not found.images:
            raise InputError(f"'{given}' holds no images, which are files with a suffix such as .jpg or .png.")
        not_raw = [path for path in found.images if raw_only and not is_raw(path)]
        taken = [path for path in found.images if not raw_only or is_raw(path)]
        if not taken:
            raise InputError(
                f"'{given}' holds no camera raw files, and a model of raw images restores nothing else; leave out "
                '--model.'
            )
        for noted, new in ((left_out.others, found.others), (left_out.not_raw, not_raw)):
            noted[:] = dict.fromkeys([*noted, *new])
        yield from ((path, path.relative_to(given)) for path in taken)
    elif fault := not_a_file(given):
        raise InputError(f"'{given}': {fault}.")
    elif why := FOREIGN_SUFFIXES.get(given.suffix.lower()):
        raise InputError(f"'{given}': {why}; convert it to DNG.")
    elif given.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"'{given}' does not have the suffix of an image, such as .jpg or .png.")
    elif raw_only and not is_raw(given):
        raise InputError(
            f"'{given}' is not a camera raw file, and a model of raw images restores nothing else; leave it out, or "
            'leave out --model.'
        )
    else:
        yield given, Path(given.name)


def _check_outputs(jobs: Sequence[Job], extension: str, problems: Problems) -> None:
    sources = {identity: job.source for job in jobs if (identity := _identity(job.source)) is not None}
    made_from: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if len(os.fsencode(path.name)) > LONGEST_NAME:
                problems.add(f"'{job.source}': the output name is too long; rename the file, or shorten --suffix.")
            other = made_from.setdefault(path, job.source)
            if other != job.source:
                differ = extension != 'auto' and _ending(other, 'auto') != _ending(job.source, 'auto')
                way_out = 'rename one, or try --ext auto' if differ else 'rename one'
                problems.add(f"'{other}' and '{job.source}' would both be written to '{path}'; {way_out}.")
            if path.is_dir():
                problems.add(f"'{path}' would be written, but is a folder; choose another -o or --suffix.")
            identity = _identity(path)
            if identity in sources:
                problems.add(f"'{path}' would replace the input '{sources[identity]}'; choose another -o or --suffix.")
    for fault in dict.fromkeys(_folder_fault(path.parent) for path in made_from):
        if fault:
            problems.add(fault)


def _folder_fault(folder: Path) -> str | None:
    try:
        existing_folder(folder)
    except InputError as error:
        return str(error)
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return an identity that all names of a file share, or None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
