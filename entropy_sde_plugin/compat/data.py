"""Fixes for data loading: databases, order and random draws, loaders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import basicsr.data
import torch
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils import get_root_logger
from basicsr.utils.file_client import LmdbBackend
from torch.utils.data import Dataset

from entropy_sde_plugin.compat.patching import is_ours, replace
from entropy_sde_plugin.data.lmdb_values import open_environment
from entropy_sde_plugin.data.sample_seeds import DrawIndex, key_of
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options import arguments
from entropy_sde_plugin.utils import random_state
from entropy_sde_plugin.utils.distributed import warn

__all__ = [
    'patch_build_dataloader',
    'patch_build_dataset',
    'patch_enlarged_sampler',
    'patch_lmdb_backend',
]


def patch_lmdb_backend() -> None:
    """Open a database once per process, however many datasets read it, and again in a forked worker.

    P+M file_client.py:112, py-lmdb ≥ 2. Symptom: ``The environment '…' is already open in this process`` where input
    and truth, or training and validation, lie in one database; the latter only in the worker after the first
    validation.
    """
    original = LmdbBackend.__init__
    if is_ours(original):
        return

    def init(self: LmdbBackend, db_paths: Any, client_keys: Any = 'default', **kwargs: Any) -> None:
        if kwargs:  # an environment of the caller's own, opened as asked
            original(self, db_paths, client_keys, **kwargs)
            return
        paths, keys = (value if isinstance(value, list) else [value] for value in (db_paths, client_keys))
        self.db_paths = [str(path) for path in paths]
        self._client = Environments(zip(keys, self.db_paths, strict=True))

    LmdbBackend.__init__ = init


class Environments(dict[str, str]):
    """From client keys to environments. It holds paths, which can be pickled, and opens an environment on demand."""

    def __getitem__(self, key: str) -> Any:
        return open_environment(super().__getitem__(key))


def patch_enlarged_sampler() -> None:
    """Yield indices that know their epoch and draw, in the order that BasicSR's sampler gives; pass over what a resumed
    epoch has drawn before.

    P+M data_sampler.py:35, with data/__init__.py:97. Symptoms: augmentation repeats every epoch, since a
    dataset does not learn its epoch; a resumed run begins its epoch anew. For datasets that do not ask, an index stays
    an ``int``.
    """
    if not is_ours(EnlargedSampler.__iter__):
        EnlargedSampler.__iter__ = enlarged_sampler_iter
        EnlargedSampler.drawn_before = (0, 0)  # an epoch, and how many of its draws, over all processes, are done


def enlarged_sampler_iter(self: EnlargedSampler) -> Iterator[DrawIndex]:
    """This process's share of the epoch's permutation, or of what is left of it."""
    generator = torch.Generator().manual_seed(self.epoch)
    draws = torch.randperm(self.total_size, generator=generator).tolist()
    size = len(self.dataset)
    epoch, drawn = self.drawn_before
    start = drawn if epoch == self.epoch else 0
    for draw in draws[start + self.rank : self.total_size : self.num_replicas]:
        yield DrawIndex(draw % size, epoch=self.epoch, draw=draw)


def patch_build_dataset() -> None:
    """Use the data set that the checks of a run have already built.

    P+M data/__init__.py:24. Symptom: the headers of all images are read twice, which delays the start.
    """
    original = basicsr.data.build_dataset
    if is_ours(original):
        return

    def build_dataset(dataset_opt: dict[str, Any]) -> Any:
        built = getattr(dataset_opt, 'built', None)
        if built is None:
            return original(dataset_opt)
        get_root_logger().info(f'Dataset [{type(built).__name__}] - {dataset_opt["name"]} is built.')
        return built

    replace(original, build_dataset)


class Seeded(Dataset[Any]):
    """A dataset whose samples draw from global generators that are seeded for each of them.

    P+M data/__init__.py:97 seeds the workers from rank and worker alone. Symptoms: BasicSR's own datasets draw the same
    crops and flips in every epoch; the draws depend on the number of workers; a resumed run cannot repeat them.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        with random_state.seeded(self.seed, key_of(index)):
            return self.dataset[index]


def draws_of_its_own(dataset: Any, dataset_opt: dict[str, Any], seed: int | None) -> Any:
    """Make a training set of BasicSR's draw as ``Seeded`` does; the sets of this package do so by themselves."""
    if seed is None or arguments.is_ours(type(dataset)):
        return dataset
    if dataset_opt.get('prefetch_mode') == 'cpu' and not dataset_opt.get('num_worker_per_gpu'):
        warn(
            f"datasets.{dataset_opt['phase']}.prefetch_mode: 'cpu' without workers: a thread beside the "
            'training draws from the same generators, so a resumed run will not have the same bits. Set '
            'num_worker_per_gpu.'
        )
        return dataset
    return Seeded(dataset, seed)


def patch_build_dataloader() -> None:
    """Refuse a dataset that gives no batch, fill the last batch of an epoch, and seed each sample by itself.

    P+M data/__init__.py:71, train.py:179. Symptom: fewer images than the batch size train for zero iterations, and
    the run ends with ``End of training`` and exit code 0; an empty validation set fails after the first training steps.
    A loader that is started takes a number from the training's generator, which makes the training depend on
    ``val_freq``: each gets one of its own.
    """
    original = basicsr.data.build_dataloader
    if is_ours(original):
        return

    def build_dataloader(
        dataset: Any,
        dataset_opt: dict[str, Any],
        num_gpu: int = 1,
        dist: bool = False,
        sampler: Any = None,
        seed: int | None = None,
    ) -> Any:
        if isinstance(sampler, EnlargedSampler):
            dataset = draws_of_its_own(dataset, dataset_opt, seed)
        loader = original(dataset, dataset_opt, num_gpu=num_gpu, dist=dist, sampler=sampler, seed=seed)
        loader.generator = torch.Generator()
        if len(loader) == 0:
            name, share = dataset_opt.get('name', dataset_opt['phase']), len(loader.sampler)
            raise InputError(
                f"Dataset '{name}' gives a process {share} images per epoch, fewer than its batch of "
                f'{loader.batch_size}: lower datasets.{dataset_opt["phase"]}.batch_size_per_gpu, raise '
                'dataset_enlarge_ratio, or give more images.'
            )
        if isinstance(loader.sampler, EnlargedSampler):
            fill_batches(loader.sampler, loader.batch_size)
        return loader

    replace(original, build_dataloader)


def fill_batches(sampler: EnlargedSampler, batch_size: int) -> None:
    """Lengthen an epoch to whole batches, by drawing some images once more.

    P+M train.py:45 rounds the batches of an epoch up when it counts epochs, while the loader drops the last one.
    Symptom: a training ends before its schedule does: with the 485 images of LOL-v1 and a batch of 16, after 193,590 of
    200,000 iterations.
    """
    sampler.num_samples = math.ceil(sampler.num_samples / batch_size) * batch_size
    sampler.total_size = sampler.num_samples * sampler.num_replicas
