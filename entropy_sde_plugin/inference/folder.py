"""Enhancing many images, one after the other; each output is written completely or not at all."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from entropy_sde_plugin.errors import InputError, printable
from entropy_sde_plugin.inference.jobs import Job
from entropy_sde_plugin.inference.pictures.picture import Picture, Samples, fit, read_picture, write_picture
from entropy_sde_plugin.utils.console import Progress, tracked

__all__ = ['Enhance', 'check_output', 'enhance_pictures']

_logger = logging.getLogger('basicsr.enhancer')

Enhance = Callable[[Samples, int], Samples]
"""(RGB array (H, W, 3), uint8 or uint16; seed) -> array of the same shape and type."""


def check_output(folder: Path) -> None:
    """Create the output folder and check that it is writable.

    Raises:
        InputError: It is not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"'{folder}': the folder is not writable ({error.strerror}); choose another -o.") from None


def enhance_pictures(jobs: Sequence[Job], enhance: Enhance, *, seed: int = 0, show_progress: bool = True) -> int:
    """Enhance images and write them, replacing existing outputs.

    An image that cannot be read, or that the output format cannot hold, is reported on standard error and skipped. Any
    other error, in ``enhance`` or in writing, ends the work; finished outputs are kept.

    Args:
        jobs: The images.
        enhance: Called with the same seed for every image, so that the output does not depend on the other images.
        seed: The seed.
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
            picture = _read(job)
        except InputError as error:
            Progress.say(f'skipped: {error}')
            skipped += 1
            continue
        for note in picture.notes:
            Progress.say(f'{source}: {note}.')
        _write(job, picture, enhance(picture.rgb, seed))
        height, width = picture.rgb.shape[:2]
        _logger.info(f'{source}: {width}x{height} pixels in {time.perf_counter() - start:.1f} s')
    return skipped


def _read(job: Job) -> Picture:
    """Read an image and check that its output formats can hold it, before it is enhanced."""
    picture = read_picture(job.source)
    try:
        if job.comparison is not None:
            fit(_side_by_side(picture, picture.rgb), job.comparison.suffix)
        return fit(picture, job.target.suffix)
    except InputError as error:
        raise InputError(f'{job.source}: {error}') from None


def _write(job: Job, picture: Picture, enhanced: Samples) -> None:
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if job.comparison is not None:
        write_picture(_side_by_side(picture, enhanced), job.comparison)
    write_picture(replace(picture, rgb=enhanced), job.target)


def _side_by_side(picture: Picture, enhanced: Samples) -> Picture:
    """Return before | after, with the same profile; other metadata describe one image and stay with it."""
    alpha = picture.alpha if picture.alpha is None else np.hstack((picture.alpha, picture.alpha))
    return replace(picture, rgb=np.hstack((picture.rgb, enhanced)), alpha=alpha, exif=None, xmp=None, iptc=None)
