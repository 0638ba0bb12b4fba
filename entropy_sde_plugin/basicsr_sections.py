"""The option sections that BasicSR reads itself, as an IRSDEModel uses them: a misspelt key there is ignored in silence
or fails hours later."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import torch
from basicsr.utils.registry import METRIC_REGISTRY

from entropy_sde_plugin.errors import shown, suggestion
from entropy_sde_plugin.schema import OptionError, parse

__all__ = [
    'SCHEDULES',
    'DistOptions',
    'LoggerOptions',
    'PathOptions',
    'ValOptions',
    'check_loss',
    'check_names',
    'check_optimiser',
    'check_presence',
    'check_schedule',
    'check_validation',
    'needs_truth',
    'registered',
]

_LONGEST_NAME = 200
"""Bytes: file systems take 255, and BasicSR writes dates behind it."""

Frequency = Annotated[float, msgspec.Meta(gt=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class PathOptions(msgspec.Struct, frozen=True):
    """Section ``path``: what a run starts from."""

    added_by_basicsr: ClassVar = frozenset(
        {'experiments_root', 'results_root', 'models', 'training_states', 'log', 'visualization'}
    )

    pretrain_network_g: str | None = None
    """File of weights to start from or to test: BasicSR's, the released ones, or bare ones."""
    strict_load_g: bool = True
    """Refuse weights that lack a tensor of the network or hold another one."""
    param_key_g: str | None = 'params'
    """Which weights of the file: ``params``, or ``params_ema`` for their moving average."""
    resume_state: str | None = None
    """File ``*.state`` of the training to go on with."""
    ignore_resume_networks: list[str] | str | None = None
    """Networks, e.g. ``network_g``, that are not loaded when a training goes on."""
    experiments_root: str = ''
    results_root: str = ''
    models: str = ''
    training_states: str = ''
    log: str = ''
    visualization: str = ''


class ValOptions(msgspec.Struct, frozen=True):
    """Section ``val``: validation and test."""

    val_freq: Frequency | None = None
    """Iterations from one validation to the next; needed in training, unused in a test."""
    save_img: bool = False
    """Keep the restored pictures."""
    suffix: str | int | None = None
    """What the names of a test's pictures end in; the run's name by default."""
    pbar: bool = False
    """Show a progress bar."""
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] | None = None
    """Distinct seeds of the sampling, under each of which the set is restored: metrics are then means with their
    standard deviation. ``sampler.seed`` alone by default."""
    metrics: dict[str, dict[str, Any]] | None = None
    """Metrics by a name of one's own; in each ``type``, a registered metric, its arguments, and ``better``: ``higher``
    or ``lower``."""

    def __post_init__(self) -> None:
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"'seeds' names one twice: {', '.join(map(str, self.seeds))}.")


class LoggerOptions(msgspec.Struct, frozen=True):
    """Section ``logger``, of trainings."""

    print_freq: Frequency
    """Iterations from one line of the log to the next."""
    save_checkpoint_freq: Frequency
    """Iterations from one checkpoint to the next."""
    use_tb_logger: bool = False
    """Write for TensorBoard, below ``tb_logger``."""
    wandb: dict[str, Any] | None = None
    """Weights & Biases: ``project``, empty for none, and ``resume_id``."""


class DistOptions(msgspec.Struct, frozen=True):
    """Section ``dist_params``: how processes started by SLURM find each other."""

    backend: Literal['nccl', 'gloo'] = 'nccl'
    """``gloo`` where there is no GPU."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """TCP port of the first process."""


class MultiStepSchedule(msgspec.Struct, frozen=True):
    """``train.scheduler`` of type ``MultiStepLR`` or ``MultiStepRestartLR``: the rate falls in steps."""

    type: Literal['MultiStepLR', 'MultiStepRestartLR']
    """The schedule."""
    milestones: tuple[NotNegative, ...]
    """Iterations at which the rate is multiplied by ``gamma``."""
    gamma: float = 0.1
    """Factor of the rate at a milestone."""
    restarts: tuple[NotNegative, ...] = (0,)
    """Iterations at which the rate starts again."""
    restart_weights: tuple[float, ...] = (1,)
    """Factor of the rate after each restart, as many as ``restarts``."""

    def __post_init__(self) -> None:
        _check_lengths('restarts', self.restarts, self.restart_weights)


class CosineSchedule(msgspec.Struct, frozen=True):
    """``train.scheduler`` of type ``CosineAnnealingRestartLR``: the rate falls along half a cosine in each period."""

    type: Literal['CosineAnnealingRestartLR']
    """The schedule."""
    periods: tuple[AtLeastOne, ...]
    """Iterations of each period; in all at least ``train.total_iter``."""
    restart_weights: tuple[float, ...] = (1,)
    """Factor of the rate in each period, as many as ``periods``."""
    eta_min: float = 0
    """The rate at the end of a period."""

    def __post_init__(self) -> None:
        _check_lengths('periods', self.periods, self.restart_weights)


def _check_lengths(name: str, restarts: tuple[int, ...], weights: tuple[float, ...]) -> None:
    if len(restarts) != len(weights):
        raise ValueError(f"'{name}' has {len(restarts)} entries and 'restart_weights' {len(weights)}: give as many.")


SCHEDULES: Mapping[str, type[MultiStepSchedule] | type[CosineSchedule]] = {
    'MultiStepLR': MultiStepSchedule,
    'MultiStepRestartLR': MultiStepSchedule,
    'CosineAnnealingRestartLR': CosineSchedule,
}
"""The options of BasicSR's schedulers by their names."""


def registered(registry: Any, name: object, where: str) -> Any:
    """What a registry of BasicSR knows under a name, or under the short name of one of BasicSR's own.

    Raises:
        OptionError: Nobody has registered that name.
    """
    for full_name in (str(name), f'{name}_basicsr'):
        if full_name in registry:
            return registry.get(full_name)
    names = [key.removesuffix('_basicsr') for key in registry.keys()]  # noqa: SIM118  a registry iterates over pairs
    raise OptionError(f"'{where}.type': there is no {shown(name)}. {suggestion(str(name), names)}", f'{where}.type')


def check_names(built: Callable[..., Any], given: Iterable[str], where: str, added: Iterable[str] = ()) -> None:
    """Check keyword arguments from an option file against a signature.

    Args:
        built: What will be called.
        given: Names in the option file, ``type`` left out.
        where: The section, for messages.
        added: Names that the caller gives besides.

    Raises:
        OptionError: An argument that does not exist, or a missing one.
    """
    given = list(given)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(built).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name not in added
    }
    for name in given:
        if name not in parameters:
            path = f'{where}.{name}'
            raise OptionError(f"Unknown option '{path}' of {built.__name__}. {suggestion(name, parameters)}", path)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            path = f'{where}.{name}'
            raise OptionError(f"Option '{path}' of {built.__name__} is missing: add it to the option file.", path)


def check_presence(opt: Mapping[str, Any]) -> None:
    """Check that the sections and options are there that a run cannot do without.

    Raises:
        OptionError: One is missing, or ``name`` cannot be that of a folder.
    """
    training = opt.get('is_train')
    for section in ('name', 'datasets', 'network_g', 'path', *(('train', 'logger') if training else ())):
        if opt.get(section) is None:
            raise OptionError(f"Section '{section}' is missing: add it to the option file.", section)
    _check_name(opt['name'])
    if training and 'train' not in opt['datasets']:
        raise OptionError("Section 'datasets.train' is missing: add it to the option file.", 'datasets.train')
    needed = [(phase, 'name') for phase in opt['datasets']]
    needed += [('train', 'batch_size_per_gpu'), ('train', 'num_worker_per_gpu')] if training else []
    for phase, key in needed:
        if key not in opt['datasets'][phase]:
            path = f'datasets.{phase}.{key}'
            raise OptionError(f"Option '{path}' is missing: add it to the option file.", path)


def _check_name(name: str) -> None:
    """BasicSR makes the folder of the run, and renames one that is there, wherever the name leads."""
    is_one_part = PurePath(name).name == name and name not in ('', '..') and '\0' not in name
    if not is_one_part or len(name.encode()) > _LONGEST_NAME:
        raise OptionError(
            f"'name' must be able to name a folder, in at most {_LONGEST_NAME} bytes, but is {shown(name)}.", 'name'
        )


def check_validation(val: ValOptions, training: bool) -> None:
    """Check ``val`` against the kind of run and ``val.metrics`` against the registered metrics.

    Raises:
        OptionError: A training without ``val_freq``, no such metric, or an argument of one is unknown or missing.
    """
    if training and val.val_freq is None:
        raise OptionError("Option 'val.val_freq' is missing: add it to the option file.", 'val.val_freq')
    for key, metric in (val.metrics or {}).items():
        where = f'val.metrics.{key}'
        function = registered(METRIC_REGISTRY, metric.get('type'), where)
        check_names(function, metric.keys() - {'type', 'better'}, where, added=('img', 'img2'))


def needs_truth(val: Mapping[str, Any]) -> list[str]:
    """The metrics in a section ``val`` that compare with ground truth, by their keys in it."""
    metrics = (val.get('metrics') or {}).items()
    return [
        key
        for key, metric in metrics
        if 'img2' in inspect.signature(registered(METRIC_REGISTRY, metric.get('type'), key)).parameters
    ]


def check_optimiser(section: Mapping[str, Any]) -> None:
    """Check ``train.optim_g`` against PyTorch's optimisers.

    Raises:
        OptionError: No such optimiser, or not one of its options, or a value that it refuses.
    """
    name, where = str(section.get('type')), 'train.optim_g.type'
    classes: dict[str, Any] = {key: value for key, value in vars(torch.optim).items() if inspect.isclass(value)}
    optimisers = {key: value for key, value in classes.items() if key[0].isupper()}
    if name not in optimisers:
        raise OptionError(f"'{where}': there is no '{name}'. {suggestion(name, optimisers)}", where)
    if 'lr' not in section:
        raise OptionError("Option 'train.optim_g.lr' is missing: add it to the option file.", 'train.optim_g')
    arguments = {key: value for key, value in section.items() if key != 'type'}
    check_names(optimisers[name], arguments, 'train.optim_g', added=('params',))
    try:
        optimisers[name]([torch.nn.Parameter(torch.zeros(1))], **arguments)
    except Exception as error:  # whatever the class itself objects to; e.g. IndexError for one beta
        reason = ' '.join(str(error).split())
        raise OptionError(f"Section 'train.optim_g': {reason}.", 'train.optim_g') from None


def check_loss(section: Mapping[str, Any], where: str) -> None:
    """Check what every loss of a training has: a weight, and one value for the batch.

    Raises:
        OptionError: ``loss_weight`` is no number, or ``reduction`` is none.
    """
    weight = section.get('loss_weight', 1)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
        path = f'{where}.loss_weight'
        raise OptionError(f"Option '{path}': expected a finite number, but it is {shown(weight)}.", path)
    if section.get('reduction') == 'none':
        path = f'{where}.reduction'
        raise OptionError(f"'{path}' is none, but a training step needs one value: mean or sum.", path)


def check_schedule(section: Mapping[str, Any], total_iter: int) -> None:
    """Check ``train.scheduler`` against BasicSR's schedulers and the training's length.

    Raises:
        OptionError: No such scheduler, not one of its options, or periods that end before the training.
    """
    name, where = str(section.get('type')), 'train.scheduler.type'
    if name not in SCHEDULES:
        raise OptionError(f"'{where}': there is no '{name}'. {suggestion(name, SCHEDULES)}", where)
    schedule = parse(SCHEDULES[name], section, 'train.scheduler')
    if isinstance(schedule, CosineSchedule) and sum(schedule.periods) < total_iter:
        raise OptionError(
            f"'train.scheduler.periods' last {sum(schedule.periods)} iterations and the training {total_iter} "
            '(total_iter): lengthen the periods.',
            'train.scheduler.periods',
        )
