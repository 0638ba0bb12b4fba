"""Distributed validation: each process restores its part of the set, and all get the whole table."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.picture_key import picture_key
from entropy_sde_plugin.errors import InputError, MetricUnavailableError, printable
from entropy_sde_plugin.evaluation.scoring import Planes, Score, Scorer
from entropy_sde_plugin.utils.console import tracked
from entropy_sde_plugin.utils.distributed import gather, on_first_process, process_info

__all__ = ['Restoration', 'Row', 'Summary', 'Validation', 'validate']


class Restoration(NamedTuple):
    """A restored image, its name and its truth, if there is one; (H, W, 3), uint8, BGR, as BasicSR's metrics need them.

    ``unrounded`` is the restored image in [0, 1] before it was rounded to 8 bits. For a raw image these
    are its ``planes``, developed.
    """

    name: str
    image: RGBImage
    truth: RGBImage | None
    unrounded: NDArray[np.float32]
    planes: Planes | None = None


@dataclass(frozen=True)
class Row:
    """The scores of one image under one seed.

    Attributes:
        seed: Seed of the sampling.
        image: The image's name within its set; empty where the scores are those of the whole set.
        scores: Metric's key in ``val.metrics`` to its value, or to why there is none.
        seconds: What the restoration took; None for the whole set.
    """

    seed: int
    image: str
    scores: dict[str, Score]
    seconds: float | None


@dataclass(frozen=True)
class Summary:
    """Mean of a metric over the images, and its standard deviation between the seeds where there are several."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, seeds: Iterable[Sequence[float]]) -> Summary:
        """Summarise the images' values under each seed."""
        means = [fmean(values) for values in seeds]
        return cls(fmean(means), float(np.std(means, ddof=1)) if len(means) > 1 else None)


@dataclass(frozen=True)
class Validation:
    """The table of one validation.

    Attributes:
        dataset: The dataset's name.
        seeds: The sampling's seeds.
        rows: A row per seed and image, in the dataset's order, and one per seed where a metric scores the set.
        images: Number of images.
        data_sha256: Hash of the images' names, and of input and truth as the network and the metrics receive them.
        processes: How many shared the work.
    """

    dataset: str
    seeds: tuple[int, ...]
    rows: list[Row]
    images: int
    data_sha256: str
    processes: int

    @property
    def seconds_per_image(self) -> float:
        """Mean time of a restoration, loading and metrics left out."""
        return fmean(row.seconds for row in self.rows if row.seconds is not None)

    def summary(self, metric: str) -> Summary | MetricUnavailableError:
        """Return a metric over all images and seeds; unavailable, with the reason, as soon as it is for one image."""
        values: dict[int, list[float]] = {seed: [] for seed in self.seeds}
        for row in self.rows:
            score = row.scores.get(metric)
            if isinstance(score, MetricUnavailableError):
                return MetricUnavailableError(f'{row.image}: {score}' if row.image else str(score))
            if score is not None:
                values[row.seed].append(score)
        return Summary.of(values.values())


@dataclass(frozen=True)
class _Scored:
    """A row, the hash of what was restored, and the images themselves where a metric needs them all."""

    index: int
    row: Row
    digest: bytes
    pair: tuple[RGBImage, RGBImage | None] | None


def validate(
    dataloader: DataLoader[Any],
    restore: Callable[[dict[str, Any], int], Restoration],
    scorer: Scorer,
    seeds: Sequence[int],
    *,
    progress: bool = False,
    save: Callable[[str, RGBImage], None] | None = None,
) -> Validation:
    """Restore and score every image of a set; called in every process of the run.

    Of n processes, process i mod n restores image i. All return the same table, which does not depend on n.

    Args:
        dataloader: Loader of a set whose items hold ``lq``, perhaps ``gt``, ``lq_path`` and perhaps the image's name in
            the set as ``key``; its ``dataset.opt`` has a name.
        restore: Makes, from a batch of one image with its ``key`` and a seed, the restored image. What it makes
            must depend on these alone.
        scorer: The metrics.
        seeds: Seeds of the sampling; the whole set is restored under each.
        progress: Show a bar, on the first process.
        save: Keeps the image of a name, as restored under the first seed.

    Raises:
        InputError: The set is empty, or a metric compares with ground truth and an image has none.
        RuntimeError: Another process failed.
    """
    dataset: Any = dataloader.dataset
    name = printable(dataset.opt['name'])
    if len(dataset) == 0:
        raise InputError(f"Dataset '{name}' holds no images to validate on.")
    rows: list[Row] = []
    scored: list[_Scored] = []
    for seed in seeds:
        shards = gather(
            lambda seed=seed: list(
                _shard(dataloader, restore, scorer, seed, progress, save if seed == seeds[0] else None)
            )
        )
        scored = sorted((item for shard in shards for item in shard), key=lambda item: item.index)
        rows += [item.row for item in scored]
        if scorer.scores_sets:
            pairs = [item.pair for item in scored if item.pair is not None]
            rows.append(Row(seed, '', on_first_process(lambda pairs=pairs: scorer.of_set(pairs)), None))
    digest = hashlib.sha256(b''.join(item.digest for item in scored)).hexdigest()
    return Validation(name, tuple(seeds), rows, len(dataset), digest, process_info()[1])


def _shard(
    dataloader: DataLoader[Any],
    restore: Callable[[dict[str, Any], int], Restoration],
    scorer: Scorer,
    seed: int,
    progress: bool,
    save: Callable[[str, RGBImage], None] | None,
) -> Iterator[_Scored]:
    """Restore and score this process's part of the set."""
    rank, world_size = process_info()
    dataset: Any = dataloader.dataset
    indices = range(rank, len(dataset), world_size)
    loader = DataLoader(Subset(dataset, indices), collate_fn=dataloader.collate_fn, pin_memory=dataloader.pin_memory)
    items = tracked(loader, 'images', printable(dataset.opt['name']), show=progress and rank == 0)
    for index, data in zip(indices, items, strict=True):
        if scorer.needs_truth and 'gt' not in data:
            raise InputError(
                f"val.metrics: {', '.join(scorer.needs_truth)} compare with ground truth, and '{dataset.opt['name']}' "
                'has none: give dataroot_gt, or write `metrics: ~`.'
            )
        data.setdefault('key', [picture_key(data['lq_path'][0], dataset.opt)])
        start = time.perf_counter()
        restored = restore(data, seed)
        seconds = time.perf_counter() - start
        if save is not None:
            save(restored.name, restored.image)
        row = Row(seed, restored.name, scorer.of_picture(*restored[1:]), seconds)
        pair = (restored.image, restored.truth) if scorer.scores_sets else None
        yield _Scored(index, row, _digest(restored.name, data), pair)


def _digest(name: str, data: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(name.encode())
    for kind in ('lq', 'gt'):
        if kind in data:
            picture: Tensor = data[kind]
            digest.update(f'{kind}{tuple(picture.shape)}'.encode())
            digest.update(picture.cpu().numpy().tobytes())
    return digest.digest()
