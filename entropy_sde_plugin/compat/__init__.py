"""Fixes for what is broken in BasicSR under current libraries.

One small function for each defect, with the version (P: 1.4.2 from PyPI, M: git master 8d56e3a), the place and the
symptom. Code is replaced only where it is broken; what merely adds a check around BasicSR's code is always applied.

=============== ==========================================================================
Module          Fixes
=============== ==========================================================================
``stand_ins``   modules that BasicSR's import misses
``launch``      option files, command line, devices, output folders, seeds
``text_files``  copies of option files, and logs, as UTF-8
``processes``   starting several processes, and their end
``pipeline``    the pipeline's local variables: its loaders and writer, resuming
``data``        LMDB, sampler and draws, loaders, data sets that are built already
``prefetching`` reading ahead: failures, workers, the end
``models``      optimisers, processes without CUDA, saving and resuming, steps, validation
``metrics``     JPEG and FID under current OpenCV and SciPy, NIQE on small images
=============== ==========================================================================

Not fixed, because a plugin comes too late or would have to rewrite the code:

- P+M setup.py: the build fails on Python 3.13 (``KeyError: '__version__'``), and an isolated build downloads torch for
  itself. See ``HOW_TO_GET_BASICSR``.
- BasicSR's LMDB writers (``MapFullError``, lost keys). ``entropy_sde_plugin.data.lmdb`` writes instead.
- ``dist_validation`` of BasicSR's models uses one process; the others wait for it, up to a day.
- On a GPU a resumed run differs from an uninterrupted one as much as two uninterrupted runs differ from each other:
  BasicSR lets cuDNN choose its algorithms by their speed (train.py:96). The same holds with three or more processes,
  where DistributedDataParallel changes the order of its sums after the first step.
- ``realesrgan_model``, ``realesrnet_model`` and the video models call ``.cuda()`` in many places: they need a GPU.
"""

from __future__ import annotations

import sys

from entropy_sde_plugin.errors import InputError

__all__ = ['HOW_TO_GET_BASICSR', 'apply', 'import_basicsr']

HOW_TO_GET_BASICSR = (
    'BasicSR is not installed. On Python 3.10 to 3.12: pip install basicsr. On later ones its release does not build: '
    'git clone https://github.com/XPixelGroup/BasicSR and put that folder on PYTHONPATH.'
)


def import_basicsr() -> None:
    """Import BasicSR with the stand-ins it needs, whatever the environment says about the plugin.

    Raises:
        InputError: BasicSR is not installed.
    """
    from entropy_sde_plugin._bootstrap import hook

    hook()
    try:
        import basicsr  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != 'basicsr':
            raise
        raise InputError(HOW_TO_GET_BASICSR) from None


def apply() -> None:
    """Apply all fixes to the imported BasicSR. Idempotent."""
    import basicsr.train  # noqa: F401

    from entropy_sde_plugin.compat import data, launch, metrics, models, pipeline, prefetching, processes, text_files

    launch.silence_runpy_warning()
    launch.patch_ordered_yaml()
    launch.patch_parse_options()
    launch.patch_make_exp_dirs()
    text_files.patch_copy_opt_file()
    text_files.patch_get_root_logger()
    processes.patch_init_dist()
    pipeline.patch_pipeline(sys.modules['basicsr.train'].__dict__)
    models.patch_get_optimizer()
    models.patch_model_to_device()
    models.patch_load_network()
    models.patch_saving()
    models.patch_resuming()
    models.patch_steps()
    models.patch_dist_validation()
    models.patch_validation()
    models.patch_imwrite()
    data.patch_lmdb_backend()
    data.patch_enlarged_sampler()
    data.patch_build_dataset()
    data.patch_build_dataloader()
    prefetching.patch_prefetch_generator()
    prefetching.patch_cpu_prefetcher()
    prefetching.patch_prefetchers()
    metrics.patch_jpeg_quality()
    metrics.patch_fid()
    metrics.patch_niqe()


if 'basicsr' not in sys.modules:
    # A module of this package may be the first to import BasicSR, which calls `apply` and so imports this package.
    # Registering first keeps that from meeting a module that is only half loaded. While BasicSR is being imported,
    # its loader asks for the stand-ins here and registers afterwards.
    from entropy_sde_plugin import register

    register()
