"""Enhancing files with a model, in one or several processes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.checkpoints.weights_file import check_file
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions
from entropy_sde_plugin.inference.folder import check_output, enhance_pictures
from entropy_sde_plugin.inference.jobs import Job
from entropy_sde_plugin.inference.shard import Share

__all__ = ['Counts', 'enhance_files']


class Counts(NamedTuple):
    """Numbers of images: newly enhanced, finished by an earlier run, and skipped because of an error."""

    enhanced: int
    present: int
    skipped: int


def enhance_files(
    jobs: Sequence[Job],
    output: Path,
    model: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    device: str = 'auto',
    **options: Any,
) -> Counts | None:
    """Enhance images and write them.

    Under torchrun each process takes its share of the jobs, and a GPU of its own.

    Args:
        jobs: All images; the same list in every process (see :func:`entropy_sde_plugin.inference.jobs.plan`).
        output: The output folder, created if there is something to do.
        model: A weights file, read only if there is something to do.
        seed: Seed of the sampler's noise, the same for each image.
        overwrite: Enhance again images that an earlier run finished.
        device: As of :class:`EnhancerOptions`; with several processes and devices, each process takes its own.
        options: Further keyword arguments of :class:`EnhancerOptions`.

    Returns:
        The counts of all processes in the first process, None in the others.

    Raises:
        InputError: An option is wrong, the file does not hold a model, or ``output`` is not writable.
        OSError: An output cannot be written.
    """
    share = Share.from_environment()
    mine = share.part(jobs)
    pending = [job for job in mine if overwrite or not job.is_done]
    check_file(model)  # wrong arguments are errors even if nothing is left to do
    checked = EnhancerOptions(device=share.device(device), **options)
    skipped = 0
    if pending:
        enhancer = Enhancer(load_model(model), checked)
        check_output(output)
        logging.getLogger('basicsr.enhancer').info(f'{model}: {enhancer}')
        skipped = enhance_pictures(
            pending,
            lambda image, seed: enhancer.enhance(image, seed=seed),
            seed=seed,
            show_progress=share.rank == 0,
        )
    counts = Counts(*share.total([len(pending) - skipped, len(mine) - len(pending), skipped]))
    return counts if share.rank == 0 else None
