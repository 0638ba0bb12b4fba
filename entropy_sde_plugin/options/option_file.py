"""The option sections that BasicSR reads itself, as an IRSDEModel uses them: a misspelt key there is ignored in silence
or fails hours later."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import msgspec

from entropy_sde_plugin.errors import shown, suggestion
from entropy_sde_plugin.options.arguments import check_names, is_ours, registered
from entropy_sde_plugin.utils.schema import OptionError, Positive, convert

__all__ = [
    'DistOptions',
    'LoggerOptions',
    'PathOptions',
    'ValOptions',
    'check_folder_name',
    'check_logger',
    'check_presence',
    'check_validation',
    'needs_truth',
]

_LONGEST_NAME = 200
"""Bytes: file systems take 255, and BasicSR writes dates behind it."""


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

    val_freq: Positive | None = None
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

    print_freq: Positive
    """Iterations from one line of the log to the next."""
    save_checkpoint_freq: Positive
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


def check_presence(opt: Mapping[str, Any]) -> None:
    """Check that the sections and options are there that a run cannot do without.

    Raises:
        OptionError: One is missing, or ``name`` cannot be that of a folder.
    """
    training = opt.get('is_train')
    for section in ('name', 'datasets', 'network_g', 'path', *(('train', 'logger') if training else ('val',))):
        if opt.get(section) is None:
            raise OptionError(f"Section '{section}' is missing: add it to the option file.", section)
    check_folder_name(opt['name'], 'name')
    if not training and not opt['path'].get('pretrain_network_g'):
        path = 'path.pretrain_network_g'
        raise OptionError(f"Option '{path}' names no weights: a test would measure a random network.", path)


def check_folder_name(name: object, option: str) -> None:
    """Check a name that BasicSR puts into a path: it makes folders, renames them and writes wherever that leads.

    Raises:
        OptionError: It is no text that names one folder or file.
    """
    is_one_part = isinstance(name, str) and PurePath(name).name == name and name not in ('', '..') and '\0' not in name
    if not is_one_part or len(str(name).encode()) > _LONGEST_NAME:
        raise OptionError(
            f"'{option}' must be able to name a folder, in at most {_LONGEST_NAME} bytes, but is {shown(name)}.", option
        )


def check_logger(logger: LoggerOptions, name: str) -> None:
    """Check that Weights & Biases, which copies TensorBoard's events, has what it needs.

    Raises:
        OptionError: TensorBoard is off, or one of the two is not installed.
    """
    if (logger.wandb or {}).get('project') is None or 'debug' in name:
        return
    if not logger.use_tb_logger:
        raise OptionError(
            "'logger.wandb' copies what TensorBoard gets: set use_tb_logger: true, or leave out the project.",
            'logger.wandb',
        )
    for package in ('wandb', 'tensorboard'):
        if importlib.util.find_spec(package) is None:
            raise OptionError(
                f"'logger.wandb' needs the package {package}, which is not installed: pip install {package}, or leave "
                'out the project.',
                'logger.wandb',
            )


def check_validation(val: ValOptions, training: bool) -> None:
    """Check ``val`` against the kind of run and ``val.metrics`` against the registered metrics.

    Raises:
        OptionError: A training without ``val_freq``; a ``suffix`` that leads elsewhere; no such metric, an argument of
            one that is unknown, missing or wrong, or a ``better`` that is neither ``higher`` nor ``lower``.
    """
    if training and val.val_freq is None:
        raise OptionError("Option 'val.val_freq' is missing: add it to the option file.", 'val.val_freq')
    if val.suffix not in (None, ''):
        check_folder_name(str(val.suffix), 'val.suffix')
    for key, metric in (val.metrics or {}).items():
        where = f'val.metrics.{key}'
        function = registered('metric', metric.get('type'), where)
        check_names(function, metric.keys() - {'type', 'better'}, where, added=('img', 'img2'))
        _check_choice(metric, 'better', ('higher', 'lower'), where)
        _check_choice(metric, 'input_order', ('HWC', 'CHW'), where)
        hints = get_type_hints(inspect.unwrap(function)) if is_ours(function) else {}
        for argument in metric.keys() & hints.keys():
            convert(metric[argument], hints[argument], f'{where}.{argument}')
        border = metric.get('crop_border', 0)
        if type(border) is not int or border < 0:
            path = f'{where}.crop_border'
            raise OptionError(f"Option '{path}': expected int >= 0, but it is {shown(border)}.", path)


def _check_choice(section: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> None:
    if key in section and section[key] not in choices:
        path = f'{where}.{key}'
        near = suggestion(str(section[key]), choices)
        raise OptionError(f"Option '{path}': {shown(section[key])} is not one of its values. {near}", path)


def needs_truth(val: Mapping[str, Any]) -> list[str]:
    """The metrics in a section ``val`` that compare with ground truth, by their keys in it."""
    metrics = (val.get('metrics') or {}).items()
    return [
        key
        for key, metric in metrics
        if 'img2' in inspect.signature(registered('metric', metric.get('type'), key)).parameters
    ]
