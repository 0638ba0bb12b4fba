"""The base of all datasets of pairs: loading, augmentation, conversion to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from entropy_sde_plugin.data import augmentation
from entropy_sde_plugin.data.images import RGBImage
from entropy_sde_plugin.data.options import DatasetOptions, PairOptions
from entropy_sde_plugin.data.sample_seeds import generator, key_of
from entropy_sde_plugin.data.sources import ImageSource, NamedSizes, Pair, check_sizes
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.problems import Problems

__all__ = ['ImageCache', 'PairDataset', 'check_crops', 'raw_sample', 'sample']


def tensor(picture: RGBImage) -> torch.Tensor:
    """Return an image (H, W, 3), uint8, as a contiguous float32 tensor (3, H, W) in [0, 1]."""
    # Always a copy: NumPy considers a mirrored image of one pixel, whose stride is negative, contiguous.
    return torch.from_numpy(picture.transpose(2, 0, 1).copy()).float().div_(255)


def sample(
    key: str, crops: Sequence[dict[str, RGBImage]], paths: dict[str, str], options: DatasetOptions, index: int
) -> dict[str, Any]:
    """Return a dataset's item: the images as tensors, their paths and name, and in training the key of its draws.

    Args:
        key: The image's name within the dataset, by which validation files it.
        crops: Images by their kinds. Of one crop the tensors are (3, H, W), of N crops (N, 3, H, W).
        paths: Where they come from, by their kinds.
        options: Options of the dataset.
        index: What the dataset was indexed with. The item's ``draw`` is its ``[epoch, draw]``, by which a model can key
            draws of its own.
    """
    tensors = {kind: torch.stack([tensor(crop[kind]) for crop in crops]) for kind in crops[0]}
    pictures = {kind: values[0] if len(crops) == 1 else values for kind, values in tensors.items()}
    return pictures | _origin(key, paths, options, index)


def raw_sample(
    key: str,
    planes: Mapping[str, NDArray[np.float32]],
    paths: Mapping[str, str],
    options: DatasetOptions,
    index: int,
    *,
    ratio: float,
    gain: float,
    value_range: float,
    white_balance: NDArray[np.floating],
    matrix: NDArray[np.floating],
) -> dict[str, Any]:
    """Return the item of a data set of raw images: their planes and exposure, and what ``sample`` adds.

    Args:
        key, paths, options, index: See ``sample``.
        planes: Planes (4, H, W) by their kinds.
        ratio: Exposure of the truth over that of the input.
        gain: K, ADU per photon.
        value_range: White less black level, ADU.
        white_balance: Gains of R, G, B, G, (4,).
        matrix: From the camera's colours to linear sRGB, (3, 3).
    """
    return {
        **{kind: torch.from_numpy(np.ascontiguousarray(values)) for kind, values in planes.items()},
        'ratio': torch.tensor(float(ratio)),
        'gain': torch.tensor(float(gain)),
        'value_range': torch.tensor(float(value_range)),
        'white_balance': torch.from_numpy(white_balance).float(),
        'matrix': torch.from_numpy(matrix).float(),
        **_origin(key, paths, options, index),
    }


def _origin(key: str, paths: Mapping[str, str], options: DatasetOptions, index: int) -> dict[str, Any]:
    """What an item says of where it comes from; see ``sample``."""
    draw = {'draw': torch.tensor(key_of(index))} if options.phase == 'train' else {}
    return {'key': key, **{f'{kind}_path': path for kind, path in paths.items()}, **draw}


def check_crops(source: NamedSizes, names: Sequence[str], smallest_side: int, shrink: int = 1) -> None:
    """Check that training crops fit into every image.

    Args:
        source: The images.
        names: Which of them.
        smallest_side: The shortest side allowed.
        shrink: Factor by which images are reduced when they are loaded.

    Raises:
        InputError: One line per image that is too small or unreadable, or a single line if all are too small.
    """
    problems = Problems()
    crops = f'crops of {smallest_side} pixels (gt_size, or gt_size/resize_factor) do not fit'
    sizes: dict[str, tuple[int, int]] = {}
    for name in names:
        with problems.collect(source.option):
            sizes[name] = source.size(name)
    too_small = [name for name, size in sizes.items() if min(size) // shrink < smallest_side]
    if len(too_small) == len(names) > 1:
        largest = max(min(size) // shrink for size in sizes.values())
        raise InputError(
            f'{source.path}: {crops} into any of its {len(names)} images, whose short sides have at most {largest} '
            'pixels; lower gt_size.',
            option='gt_size',
        )
    for name in too_small:
        height, width = sizes[name]
        reduced = f', {width // shrink}x{height // shrink} when loaded' if shrink > 1 else ''
        fault = f'{source.where(name)} is {width}x{height}{reduced}: {crops}; lower gt_size or remove the image.'
        problems.add(fault, option='gt_size')
    problems.raise_any()


class ImageCache:
    """Decoded images of a source, optionally cached; the cache is dropped when the dataset is pickled."""

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._kept: dict[tuple[Path, str], RGBImage] = {}

    def image(self, source: ImageSource, name: str) -> RGBImage:
        """Return an image of the source, which must not be modified."""
        if not self._keep:
            return source.image(name)
        key = source.path, name
        if key not in self._kept:
            self._kept[key] = source.image(name)
        return self._kept[key]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {'_kept': {}}


class PairDataset(Dataset[dict[str, Any]]):
    """Pairs of a dark and a bright image, or dark images alone.

    An item holds ``lq`` and, with ground truth, ``gt``: float32 tensors (3, H, W), RGB, in [0, 1], and their paths as
    ``lq_path`` and ``gt_path``, and the dark image's name as ``key``. In training they are square crops, (N, 3, H, W)
    for several ``crops_per_image``, augmented by draws that follow from the seed and the index (see ``sample_seeds``),
    and ``draw`` tells ``[epoch, draw]``.

    Args:
        opt: The option section; BasicSR's models read the dataset's name from it.
        options: Its options as a checked struct.
        lq: The dark images.
        gt: The bright images, if there are any.
        pairs: Names of the samples.

    Raises:
        InputError: Images of a pair differ in size, cannot be read, or are too small for the crops.
    """

    def __init__(
        self,
        opt: dict[str, Any],
        options: PairOptions,
        lq: ImageSource,
        gt: ImageSource | None,
        pairs: Sequence[Pair],
    ) -> None:
        if gt is None and options.phase == 'train':
            raise InputError(f'{lq.path}: training also needs bright images, but there are none.', option=lq.option)
        self.opt = opt
        self.options = options
        self.lq = lq
        self.gt = gt
        self.pairs = tuple(pairs)
        self._cache = ImageCache(options.cache)
        if gt is not None:
            check_sizes(lq, gt, self.pairs)
        check_crops(lq, [pair.lq for pair in self.pairs], options.smallest_side, self.shrink)

    @property
    def shrink(self) -> int:
        """Factor by which ``load`` downscales images in training."""
        return 1

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Yield (height, width) of every image to be restored, without decoding it."""
        return (self.lq.size(pair.lq) for pair in self.pairs)

    def load(self, source: ImageSource, name: str) -> RGBImage:
        """Return one image as used in the samples."""
        return self._cache.image(source, name)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        pictures = {'lq': self.load(self.lq, pair.lq)}
        paths = {'lq': self.lq.where(pair.lq)}
        if self.gt is not None and pair.gt is not None:
            pictures['gt'] = self.load(self.gt, pair.gt)
            paths['gt'] = self.gt.where(pair.gt)
        crops = [pictures]
        if self.options.phase == 'train':
            rng = generator(self.options.seed, index)
            crops = [self._augment(pictures, rng) for _ in range(self.options.crops_per_image)]
        return sample(pair.lq, crops, paths, self.options, index)

    def _augment(self, pictures: dict[str, RGBImage], rng: np.random.Generator) -> dict[str, RGBImage]:
        options = self.options
        side = options.resized_side if rng.random() < options.resize_prob else options.crop_size
        crops = augmentation.crop(list(pictures.values()), rng, side=side, size=options.crop_size)
        turned = augmentation.flip_and_rotate(crops, rng, use_hflip=options.use_hflip, use_rot=options.use_rot)
        return dict(zip(pictures, turned, strict=True))
