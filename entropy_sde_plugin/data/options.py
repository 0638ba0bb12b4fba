"""Options of the data sets: the sections in ``datasets`` of an option file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, parse

__all__ = [
    'DatasetOptions',
    'IOBackend',
    'PairOptions',
    'Pictures',
    'Probability',
    'SeveralCrops',
    'TrainingCrops',
    'check_range',
    'check_templates',
    'files_replaced',
    'options_of',
]

Pictures = Literal['rgb', 'raw']
"""RGB images, (3, H, W), or packed Bayer planes, (4, H, W)."""

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class IOBackend(msgspec.Struct, frozen=True):
    """Section ``io_backend`` of a data set, as in BasicSR."""

    type: Literal['lmdb', 'disk']
    """A database or a folder."""


class DatasetOptions(msgspec.Struct, kw_only=True, frozen=True):
    """Options of every data set. BasicSR adds ``phase`` and ``scale``, and reads the loader's options."""

    added_by_basicsr: ClassVar[frozenset[str]] = frozenset({'phase', 'scale'})
    pictures: ClassVar[Pictures] = 'rgb'
    """What an item holds."""

    name: str = ''
    """Name of the set, for the log and the records."""
    type: str = ''
    """The data set's class."""
    phase: Literal['train', 'val', 'test']
    scale: Literal[1] = 1
    seed: NotNegative = 0
    """Seed of the augmentation; ``manual_seed`` by default."""
    cache: bool = False
    """Keep decoded images in memory: 3 bytes per pixel in every worker. They are lost when the workers end after an
    epoch, unless ``persistent_workers`` is set."""
    io_backend: IOBackend | None = None
    """By default, a path that ends in ``.lmdb`` is a database and any other a folder."""

    batch_size_per_gpu: AtLeastOne = 1
    """Samples per process and iteration; required in training."""
    num_worker_per_gpu: NotNegative = 0
    """Loader workers per training process; 0 loads in the training process itself. Required in training."""
    dataset_enlarge_ratio: AtLeastOne = 1
    """How often an epoch passes over the set; with long epochs, workers are restarted less often. Not a fraction, with
    which BasicSR's sampler would take the first images of the set more often than the others, in every epoch."""
    use_shuffle: bool = True
    """Accepted because BasicSR's option files have it; without effect, since a training always shuffles."""
    pin_memory: bool = False
    """Load into page-locked memory; copies to a GPU are faster."""
    persistent_workers: bool = False
    """Keep the workers from one epoch to the next; in a training with workers the default is true."""
    prefetch_mode: Literal['cpu', 'cuda'] | None = None
    """Prefetch in a thread (``cpu``) or to the GPU (``cuda``)."""
    num_prefetch_queue: AtLeastOne = 1
    """Number of batches that ``prefetch_mode: cpu`` prefetches."""

    def __post_init__(self) -> None:
        for option in self.__struct_fields__:
            if option.startswith('dataroot') and getattr(self, option) == '':
                # Python would take it for the working directory.
                raise InputError(f"'{option}' is empty: name a folder or a database.", option=option)
        given = msgspec.structs.asdict(self)
        # Here, so that every data set takes ~/folder, which no shell has expanded in an option file.
        for option, value in files_replaced(given, os.path.expanduser).items():
            if value != given[option]:
                msgspec.structs.force_setattr(self, option, value)

    @property
    def has_truth(self) -> bool:
        """Whether every image has ground truth."""
        return True

    @property
    def backend(self) -> Literal['lmdb', 'disk'] | None:
        """The storage named in ``io_backend``."""
        return self.io_backend.type if self.io_backend else None


class TrainingCrops(DatasetOptions, kw_only=True, frozen=True):
    """Options of a dataset that trains on square crops."""

    gt_size: AtLeastOne | None = None
    """Side of the training crops, in pixels; required in training, unused otherwise."""
    use_hflip: bool = True
    """Mirror left and right with probability 1/2."""
    use_rot: bool = True
    """Mirror top and bottom, and transpose, each with probability 1/2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phase == 'train' and self.gt_size is None:
            raise InputError("'gt_size', the side of the training crops in pixels, is missing.", option='gt_size')

    @property
    def crop_size(self) -> int:
        """``gt_size`` of a training."""
        assert self.gt_size is not None  # by __post_init__
        return self.gt_size

    @property
    def smallest_side(self) -> int:
        """The shortest side an image must have; 1 outside training."""
        return self.crop_size if self.phase == 'train' else 1


class SeveralCrops(TrainingCrops, kw_only=True, frozen=True):
    """Options of a dataset that trains on one or several crops of an image at a time."""

    crops_per_image: AtLeastOne = 1
    """Crops taken from an image at a time, each augmented by itself: ``batch_size_per_gpu`` counts images."""


class PairOptions(SeveralCrops, kw_only=True, frozen=True):
    """Options of a dataset of pairs, with the augmentation of the paper."""

    resize_prob: Probability = 0.2
    """Probability that both images are resized by ``resize_factor`` before the crop."""
    resize_factor: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.8
    """Factor of that resizing."""

    @property
    def resized_side(self) -> int:
        """Side of the square that becomes ``gt_size`` pixels when resized by ``resize_factor``."""
        return math.ceil(self.crop_size / self.resize_factor)

    @property
    def smallest_side(self) -> int:
        """The shortest side an image must have; 1 outside training."""
        if self.phase != 'train':
            return 1
        return self.resized_side if self.resize_prob > 0 else self.crop_size


def check_range(
    option: str,
    limits: tuple[float, float],
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Check the limits of a range.

    Args:
        option: The option that gives them.
        limits: Its low and its high end.
        above: The low end must be greater.
        least: The low end must not be less.
        most: The high end must not be greater.

    Raises:
        InputError: They are out of these bounds, or the low end is above the high one.
    """
    low, high = limits
    if not (above < low and least <= low <= high <= most):
        bounds = [f'{above:g} < '] * (above > -math.inf) + [f'{least:g} <= '] * (least > -math.inf)
        rule = f'{"".join(bounds)}low <= high{f" <= {most:g}" if most < math.inf else ""}'
        raise InputError(f"'{option}' must be [low, high] with {rule}, but is {[low, high]}.", option=option)


def check_templates(**templates: str) -> None:
    """Check templates of names, given by their options.

    Raises:
        InputError: One lacks its ``{}``, or has several.
    """
    for option, template in templates.items():
        if template.count('{}') != 1:
            raise InputError(f"'{option}' must contain {{}} once, but is {template!r}.", option=option)


def files_replaced(section: Mapping[str, Any], replace: Callable[[str], str]) -> dict[str, Any]:
    """Return a section, of our data sets or of BasicSR's, in which the names of files and folders are replaced.

    Args:
        section: The section.
        replace: Returns the new name of a file, given the old one.

    Example:
        >>> files_replaced({'dataroot': 'SID', 'camera': 'SonyA7S2'}, lambda file: f'datasets/{file}')
        {'dataroot': 'datasets/SID', 'camera': 'SonyA7S2'}
    """

    def replaced(option: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(replaced(option, part) for part in value)
        return replace(value) if isinstance(value, str) and _names_file(option, value) else value

    return {option: replaced(option, value) for option, value in section.items()}


def _names_file(option: str, value: str) -> bool:
    if option in ('camera', 'cameras'):
        return value.endswith('.json')  # others are names of calibrated cameras
    return option.startswith(('dataroot', 'meta_info', 'pair_list'))


Section = TypeVar('Section', bound=DatasetOptions)


def options_of(kind: type[Section], opt: Mapping[str, Any]) -> Section:
    """Return the options of a section: those that the run's check has parsed, or else parsed here.

    Args:
        kind: The struct that declares the options.
        opt: The section.

    Raises:
        InputError: An unknown, missing or wrong option.
    """
    checked = getattr(opt, 'checked', None)
    return checked if isinstance(checked, kind) else parse(kind, opt, f'datasets.{opt.get("phase", "?")}')
