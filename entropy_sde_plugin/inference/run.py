"""Enhancing files with a model, in one or several processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from entropy_sde_plugin.checkpoints.model import Model, load_model
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions, RawEnhancerOptions
from entropy_sde_plugin.inference.folder import OpenedImage, enhance_images, open_picture
from entropy_sde_plugin.inference.jobs import DNG, Job, LeftOut, plan
from entropy_sde_plugin.inference.shard import Share
from entropy_sde_plugin.utils.atomic_file import check_output_folder

if TYPE_CHECKING:
    from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer

__all__ = ['Counts', 'enhance_files']

_RGB_OPTIONS = ('sampler', 'eta', 'brightness', 'strength', 'stride')
_RAW_OPTIONS = ('ratio', 'camera', 'gain')


class Counts(NamedTuple):
    """Numbers of images: newly enhanced, finished by an earlier run, and skipped because of an error."""

    enhanced: int
    present: int
    skipped: int


def enhance_files(
    inputs: Sequence[Path],
    output: Path,
    model: Path,
    *,
    suffix: str = '',
    extension: str = 'auto',
    compare: bool = False,
    left_out: LeftOut | None = None,
    seed: int = 0,
    overwrite: bool = False,
    device: str = 'auto',
    **options: Any,
) -> Counts | None:
    """Enhance images and write them.

    Under torchrun each process takes its share of the images, and a GPU of its own.

    Args:
        inputs: Files and folders, the same in every process.
        output: The output folder, created if there is something to do.
        model: A weights file. One of raw images restores raw files as such, and of folders takes them alone; any other
            enhances them developed.
        suffix, extension, compare, left_out: As of :func:`~entropy_sde_plugin.inference.jobs.plan`.
        seed: Seed of the sampler's noise or of the photon counts, the same for each image.
        overwrite: Enhance again images that an earlier run finished.
        device: As in :class:`EnhancerOptions`; with several processes and devices, each process takes its own.
        options: Further keyword arguments of :class:`EnhancerOptions`; with a model of raw images, of
            :class:`RawEnhancerOptions` and :class:`RawExposure`.

    Returns:
        The counts of all processes in the first process, None in the others.

    Raises:
        InputError: An option is wrong or does not suit the model, the file does not hold a model, an input is refused
            (see :func:`~entropy_sde_plugin.inference.jobs.plan`), or ``output`` is not writable.
        OSError: An output cannot be written.
    """
    share = Share.from_environment()
    # All of this also where nothing is left to do: wrong arguments are errors even then.
    trained = load_model(model)
    jobs = plan(
        inputs,
        output,
        suffix=suffix,
        extension=extension,
        compare=compare,
        raw_only=trained.restores_raw,
        left_out=left_out,
    )
    enhancer, open_image = _prepared(trained, jobs, {'device': share.device(device), **options})
    mine = share.part(jobs)
    pending = [job for job in mine if overwrite or not job.is_done]
    skipped = 0
    if pending:
        check_output_folder(output)
        logging.getLogger('basicsr.enhancer').info(f'{model}: {enhancer}')
        skipped = enhance_images(pending, open_image, seed=seed, show_progress=share.rank == 0)
    counts = Counts(*share.total([len(pending) - skipped, len(mine) - len(pending), skipped]))
    return counts if share.rank == 0 else None


Prepared = tuple['Enhancer | RawEnhancer', Callable[[Job], OpenedImage]]
"""An enhancer, and how it opens the image of a job."""


def _prepared(model: Model, jobs: Sequence[Job], options: Mapping[str, Any]) -> Prepared:
    return _raw(model, options) if model.restores_raw else _rgb(model, jobs, options)


def _rgb(model: Model, jobs: Sequence[Job], options: Mapping[str, Any]) -> Prepared:
    for name in _RAW_OPTIONS:
        if name in options:
            message = f'{name}: only a model of raw images has this option; leave it out, or take --model exposure.'
            raise InputError(message, option=name)
    if any(job.target.suffix == DNG for job in jobs):
        raise InputError('ext: only a model of raw images writes DNG files; take --model exposure, or another --ext.')
    enhancer = Enhancer(model, EnhancerOptions(**options))
    return enhancer, lambda job: open_picture(job, lambda image, seed: enhancer.enhance(image, seed=seed))


def _raw(model: Model, options: Mapping[str, Any]) -> Prepared:
    # SciPy, which the noise of raw images needs, takes as long to import as an RGB image to enhance.
    from entropy_sde_plugin.inference.raw_enhancer import RawEnhancer
    from entropy_sde_plugin.inference.raw_exposure import RawExposure
    from entropy_sde_plugin.inference.raw_files import open_raw_file

    for name in _RGB_OPTIONS:
        if name in options:
            raise InputError(f'{name}: a model of raw images has no such option; leave it out.', option=name)
    exposure = RawExposure(**{name: options[name] for name in _RAW_OPTIONS if name in options})
    rest = {name: value for name, value in options.items() if name not in _RAW_OPTIONS}
    enhancer = RawEnhancer(model, RawEnhancerOptions(**rest))
    return enhancer, lambda job: open_raw_file(job, enhancer, exposure)
