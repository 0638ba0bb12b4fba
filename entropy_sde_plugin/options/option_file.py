"""The top level of an option file, and the sections that BasicSR reads.

BasicSR does not check them: without these structs a misspelt key would be ignored silently, or fail hours later.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.options.names import check_folder_name
from entropy_sde_plugin.options.training import TrainOptions
from entropy_sde_plugin.options.validation import ValOptions
from entropy_sde_plugin.utils.schema import NotNegative, Positive, check_known, parse

__all__ = [
    'DistOptions',
    'LoggerOptions',
    'OptionFile',
    'PathOptions',
    'read_file',
    'top_level',
]


class PathOptions(msgspec.Struct, frozen=True):
    """Section ``path``: what a run starts from."""

    added_by_basicsr: ClassVar[frozenset[str]] = frozenset(
        {'experiments_root', 'results_root', 'models', 'training_states', 'log', 'visualization'}
    )

    pretrain_network_g: str | None = None
    """File of the weights to start from or to test: a BasicSR checkpoint, a released one, or a bare state dict."""
    strict_load_g: bool = True
    """Reject weights with missing or unexpected tensors."""
    param_key_g: str | None = 'params'
    """Which weights of the file: ``params``, or ``params_ema`` for their moving average."""
    resume_state: str | None = None
    """File ``*.state`` of the training to resume."""
    ignore_resume_networks: list[str] | str | None = None
    """Networks, e.g. ``network_g``, that are not loaded when a training is resumed."""
    experiments_root: str = ''
    results_root: str = ''
    models: str = ''
    training_states: str = ''
    log: str = ''
    visualization: str = ''

    def __post_init__(self) -> None:
        for option in ('pretrain_network_g', 'resume_state'):
            if getattr(self, option) == '':  # as of a shell's unset variable; a training would begin anew
                raise InputError(f"'{option}' is empty: name a file, or write ~ for none.", option=option)


class LoggerOptions(msgspec.Struct, frozen=True):
    """Section ``logger``, of trainings."""

    print_freq: Positive
    """Iterations from one line of the log to the next."""
    save_checkpoint_freq: Positive
    """Iterations from one checkpoint to the next."""
    use_tb_logger: bool = False
    """Log to TensorBoard, in the folder ``tb_logger``."""
    wandb: dict[str, Any] | None = None
    """Weights & Biases: ``project``, empty for none, and ``resume_id``."""


class DistOptions(msgspec.Struct, frozen=True):
    """Section ``dist_params``: how processes started by SLURM find each other."""

    backend: Literal['nccl', 'gloo'] = 'nccl'
    """``gloo`` where there is no GPU."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """TCP port of the first process."""


class OptionFile(msgspec.Struct, kw_only=True, frozen=True):
    """The top level of an option file, without the sections that its model declares (see :func:`top_level`)."""

    added_by_basicsr: ClassVar[frozenset[str]] = frozenset(
        {'dist', 'rank', 'world_size', 'auto_resume', 'is_train', 'root_path'}
    )

    name: str
    """Name of the run and of its folder in ``experiments`` or ``results``."""
    model_type: str
    """Name of the registered model, such as ``IRSDEModel``."""
    scale: Literal[1] = 1
    """Upscaling factor."""
    num_gpu: NotNegative | Literal['auto']
    """Number of GPUs: ``auto`` for all GPUs of the machine, 0 for the CPU."""
    manual_seed: NotNegative | None = None
    """Seed of a training; drawn at random by default."""
    datasets: dict[str, dict[str, Any]]
    """Data sets: ``train`` and ``val`` for a training, ``test`` for a test; further ones as ``val_2``, ``test_2``."""
    network_g: dict[str, Any]
    """The network: ``type``, a registered architecture, and its arguments."""
    path: PathOptions
    """What the run starts from."""
    train: TrainOptions | None = None
    """The training; required in a training, unused in a test."""
    val: ValOptions | None = None
    """Validation and test."""
    logger: LoggerOptions | None = None
    """The log and the checkpoints; required in training."""
    dist_params: DistOptions | None = None
    """How processes started by SLURM find each other."""
    find_unused_parameters: bool = False
    """Passed to DistributedDataParallel: allow parameters that get no gradient."""


def top_level(model: Any) -> Any:
    """Return the top level of a model's option file as a struct: an ``OptionFile`` with the sections of
    ``model.Options``."""
    own = [(field.name, field.type, *_default(field)) for field in msgspec.structs.fields(model.Options)]
    named = [('model_type', Literal[model.__name__]), ('train', model.TrainOptions | None, None)]
    return msgspec.defstruct(model.__name__, [*own, *named], bases=(OptionFile,), kw_only=True, frozen=True)


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    if field.default_factory is not msgspec.NODEFAULT:
        return (msgspec.field(default_factory=field.default_factory),)
    return () if field.required else (field.default,)


def read_file(model: Any, opt: Mapping[str, Any]) -> Any:
    """Return the options of a run of one of our models as the struct of :func:`top_level`.

    Args:
        model: The model's class.
        opt: BasicSR's option dictionary.

    Raises:
        InputError: Unknown, missing or wrong option, or a package that an option needs is not installed.
    """
    training, struct = bool(opt.get('is_train')), top_level(model)
    unused = OptionFile.added_by_basicsr | (set() if training else {'train'})
    written = {key: value for key, value in opt.items() if key not in unused}
    check_known(written, '', struct)  # before missing sections, since one may be misspelt
    _check_presence(opt)
    file = parse(struct, written, '')
    if file.logger is not None and training:
        _check_logger(file.logger, file.name)
    return file


def _check_presence(opt: Mapping[str, Any]) -> None:
    """Check that the required sections and options exist.

    Raises:
        InputError: One is missing, or ``name`` cannot name a folder.
    """
    training = opt.get('is_train')
    for section in ('name', 'datasets', 'network_g', 'path', *(('train', 'logger') if training else ('val',))):
        if opt.get(section) is None:
            raise InputError(f"Section '{section}' is missing: add it to the option file.", section)
    check_folder_name(opt['name'], 'name')
    if not training and not opt['path'].get('pretrain_network_g'):
        path = 'path.pretrain_network_g'
        raise InputError(f"Option '{path}' is missing: without weights a test would measure a random network.", path)


def _check_logger(logger: LoggerOptions, name: str) -> None:
    """Check the requirements of Weights & Biases, which copies TensorBoard's events.

    Raises:
        InputError: TensorBoard logging is off, or one of the two packages is not installed.
    """
    if (logger.wandb or {}).get('project') is None or 'debug' in name:
        return
    if not logger.use_tb_logger:
        raise InputError(
            "'logger.wandb' copies TensorBoard's events: set use_tb_logger: true, or leave out the project.",
            'logger.wandb',
        )
    for package in ('wandb', 'tensorboard'):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"'logger.wandb' needs the package {package}, which is not installed: pip install {package}, or leave "
                'out the project.',
                'logger.wandb',
            )
