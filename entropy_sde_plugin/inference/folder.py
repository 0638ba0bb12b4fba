"""Enhancing many images, one after the other; each output is written completely or not at all."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.inference.jobs import DNG, Job
from entropy_sde_plugin.inference.pictures.picture import Picture, Samples, fit, read_picture, write_picture
from entropy_sde_plugin.utils.console import Progress, tracked

__all__ = [
    'Enhance',
    'OpenedImage',
    'enhance_images',
    'fitted',
    'open_picture',
    'side_by_side',
]

_logger = logging.getLogger('basicsr.enhancer')

Enhance = Callable[[Samples, int], Samples]
"""(RGB array (H, W, 3), uint8 or uint16; seed) -> array of the same shape and type."""


@dataclass(frozen=True)
class OpenedImage(ABC):
    """An image that was read, and that its output formats can hold.

    Attributes:
        job: What to write.
        picture: The image as its output will be, but for what is enhanced.
    """

    job: Job
    picture: Picture

    @property
    def notes(self) -> Sequence[str]:
        """What will be missing or altered in the output, a phrase each."""
        return self.picture.notes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.picture.size

    @abstractmethod
    def write_enhanced(self, seed: int) -> None:
        """Enhance the image with a seed and write the outputs of its job, whose folder exists."""


def enhance_images(
    jobs: Sequence[Job], open_image: Callable[[Job], OpenedImage], *, seed: int = 0, show_progress: bool = True
) -> int:
    """Enhance images and write them, replacing existing outputs.

    An image that cannot be read, or that the output format cannot hold, is reported on standard error and skipped. Any
    other error, in enhancing or in writing, ends the work; finished outputs are kept.

    Args:
        jobs: The images.
        open_image: Reads an image; raises ``InputError`` for one to be skipped.
        seed: The same for every image, so that the output does not depend on the other images.
        show_progress: Show the progress on standard error.

    Returns:
        The number of skipped images.

    Raises:
        OSError: An output cannot be written.
    """
    skipped = 0
    for job in tracked(jobs, 'images', show=show_progress):
        start, source = time.perf_counter(), printable(str(job.source))
        try:
            image = open_image(job)
        except InputError as error:
            Progress.say(f'skipped: {error}')
            skipped += 1
            continue
        for note in image.notes:
            Progress.say(f'{source}: {note}.')
        job.target.parent.mkdir(parents=True, exist_ok=True)
        image.write_enhanced(seed)
        height, width = image.size
        _logger.info(f'{source}: {width}x{height} pixels in {time.perf_counter() - start:.1f} s')
    return skipped


def open_picture(job: Job, enhance: Enhance) -> OpenedImage:
    """Open an image that is enhanced as RGB, by ``enhance``.

    Raises:
        InputError: It cannot be read, or its output formats cannot hold it.
    """
    return _OpenedPicture(job, fitted(job, read_picture(job.source)), enhance)


@dataclass(frozen=True)
class _OpenedPicture(OpenedImage):
    enhance: Enhance

    def write_enhanced(self, seed: int) -> None:
        enhanced = replace(self.picture, rgb=self.enhance(self.picture.rgb, seed))
        if self.job.comparison is not None:
            write_picture(side_by_side(self.picture, enhanced), self.job.comparison)
        write_picture(enhanced, self.job.target)


def fitted(job: Job, picture: Picture) -> Picture:
    """Check, before an image is enhanced, that the formats of its outputs can hold it.

    Returns:
        The image as the format of the job's target holds it; see :func:`.pictures.picture.fit`.

    Raises:
        InputError: They cannot.
    """
    where = str(job.source)
    try:
        result = picture if job.target.suffix == DNG else fit(picture, job.target.suffix)
        if job.comparison is not None:
            where += ', before and after side by side'
            fit(side_by_side(picture, picture), job.comparison.suffix)
    except InputError as error:
        raise InputError(f'{where}: {error}') from None
    return result


def side_by_side(before: Picture, after: Picture) -> Picture:
    """Return before | after, with the same profile; other metadata describe one image and stay with it."""
    alpha = after.alpha if after.alpha is None else np.hstack((after.alpha, after.alpha))
    return replace(after, rgb=np.hstack((before.rgb, after.rgb)), alpha=alpha, exif=None, xmp=None, iptc=None)
