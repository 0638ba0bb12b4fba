"""The option sections of ours: what may stand in them, checked before anything is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import torch

from entropy_sde_plugin.errors import nearest, shown, suggestion
from entropy_sde_plugin.options import arguments, option_file
from entropy_sde_plugin.options import datasets as dataset_options
from entropy_sde_plugin.options import training as training_options
from entropy_sde_plugin.options.diffusion import IRSDEOptions
from entropy_sde_plugin.utils.schema import AtLeastOne, NotNegative, OptionError, Positive, check_known, parse

__all__ = ['OptionFile', 'TrainOptions', 'check', 'train_options']


class TrainOptions(msgspec.Struct, frozen=True):
    """Section ``train`` of an IRSDEModel: BasicSR's keys, and ours."""

    optim_g: dict[str, Any]
    """Optimiser: ``type``, a name of ``torch.optim``, and its arguments."""
    scheduler: dict[str, Any]
    """Learning rate: ``type``, a scheduler of BasicSR, and its arguments."""
    total_iter: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
    """Iterations of the training."""
    pixel_opt: dict[str, Any]
    """The loss: ``type``, a registered loss, and its arguments; ``reduction`` mean or sum."""
    entropy_opt: dict[str, Any] | None = None
    """A ``SpatialEntropyLoss`` beside ``pixel_opt``."""
    objective: Literal['previous_state', 'x0'] = 'previous_state'
    """Where the loss compares: at ``previous_state`` (x_{t-1}, the paper's maximum likelihood) or at ``x0``."""
    warmup_iter: int = -1
    """Iterations over which the learning rate rises from 0; -1 for none."""
    ema_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0
    """Decay of the weights' moving average, which is validated and tested in their place; 0 for none."""
    ema_warmup: bool = False
    """Let the average forget the first iterations: decay min(ema_decay, (1 + n) / (10 + n))."""
    grad_clip_norm: Positive | None = None
    """Clip the L2 norm of the gradient to this."""
    max_skipped_steps: AtLeastOne = 10
    """Steps in a row, skipped for a loss or gradient that is not finite, that end the training."""
    accumulate_steps: AtLeastOne = 1
    """Parts in which the batch of a process passes the network, one after the other; together they make one step."""
    precision: Literal['fp32', 'bf16', 'fp16'] = 'fp32'
    """Of the network in training (autocast); weights, SDE and loss stay in float32."""
    channels_last: bool = False
    """Keep the network and its inputs in memory with the channels innermost."""
    compile: bool = False
    """Compile the network for training (``torch.compile``)."""
    tf32: bool | None = None
    """Allow TF32 in matrix products and convolutions, or forbid it; by default as PyTorch has it."""
    keep_last_checkpoints: AtLeastOne | None = None
    """Pairs of weights and training state to keep; all by default."""


class OptionFile(IRSDEOptions, kw_only=True, frozen=True):
    """The top level of an option file of an ``IRSDEModel``."""

    added_by_basicsr: ClassVar = frozenset({'dist', 'rank', 'world_size', 'auto_resume', 'is_train', 'root_path'})

    name: str
    """Name of the run and of its folder below ``experiments`` or ``results``."""
    model_type: Literal['IRSDEModel']
    """The model."""
    scale: Literal[1] = 1
    """Enlargement: none."""
    num_gpu: NotNegative | Literal['auto']
    """GPUs to use: ``auto`` for all of the machine, 0 for the CPU."""
    manual_seed: NotNegative | None = None
    """Seed of everything random in a training; drawn by default."""
    datasets: dict[str, dict[str, Any]]
    """Data sets: ``train`` and ``val`` of a training, ``test`` of a test; more of a kind as ``val_2``, ``test_2``."""
    network_g: dict[str, Any]
    """The network: ``type``, a registered architecture, and its arguments."""
    path: option_file.PathOptions
    """What the run starts from."""
    train: TrainOptions | None = None
    """The training; needed in one, unused in a test."""
    val: option_file.ValOptions | None = None
    """Validation and test."""
    logger: option_file.LoggerOptions | None = None
    """The log and the checkpoints; needed in training."""
    dist_params: option_file.DistOptions | None = None
    """How processes started by SLURM find each other."""
    find_unused_parameters: bool = False
    """Several processes: let parameters go without gradient."""


def train_options(opt: Mapping[str, Any]) -> TrainOptions:
    """Read the section ``train`` of a BasicSR option dictionary.

    Raises:
        OptionError: An unknown, missing or wrong option.
    """
    return parse(TrainOptions, opt['train'], 'train')


def check(opt: Mapping[str, Any]) -> None:
    """Check everything in an option dictionary that this plugin answers for. Options of other models are left alone.

    Raises:
        OptionError: In one line, what is wrong and where.
    """
    train, datasets = opt.get('train') or {}, opt.get('datasets') or {}
    _check_model_type(opt)
    if opt.get('network_g') is not None:
        network = arguments.build_without_memory('arch', opt['network_g'], 'network_g')
        if network is not None:
            _check_memory(network)
    for loss in ('pixel_opt', 'entropy_opt'):
        if train.get(loss) is not None:
            arguments.build_without_memory('loss', train[loss], f'train.{loss}')
    if opt['model_type'] == 'IRSDEModel':
        dataset_options.check_keys(datasets, training=bool(opt.get('is_train')))
    for phase, section in datasets.items():
        dataset_options.check_options(section, f'datasets.{phase}')
    if opt['model_type'] != 'IRSDEModel':
        return
    check_known(OptionFile, _as_written(opt), '')  # a misspelt section is a missing one, too
    training = bool(opt.get('is_train'))
    option_file.check_presence(opt)
    dataset_options.check_sets(opt['datasets'], training)
    IRSDEOptions.from_options(opt)
    options = parse(OptionFile, _as_written(opt), '')
    _check_network(opt['network_g'])
    if options.val is not None:
        option_file.check_validation(options.val, training)
        dataset_options.check_truth(opt)
    if options.logger is not None and training:
        option_file.check_logger(options.logger, options.name)
    if options.train is not None:
        _check_training(options.train)
        dataset_options.check_parts(options.train.accumulate_steps, int(opt['datasets']['train']['batch_size_per_gpu']))


def _as_written(opt: Mapping[str, Any]) -> dict[str, Any]:
    """The options without what BasicSR adds, and without the section ``train`` in a test."""
    unused = OptionFile.added_by_basicsr | (set() if opt.get('is_train') else {'train'})
    return {key: value for key, value in opt.items() if key not in unused}


def _check_network(section: Mapping[str, Any]) -> None:
    """See that the network restores RGB pictures, and is called as a diffusion calls it."""
    if section.get('img_channel', 3) != 3:
        path = 'network_g.img_channel'
        raise OptionError(f"Option '{path}' must be 3: pictures are RGB; it is {shown(section['img_channel'])}.", path)
    network = arguments.registered('arch', section['type'], 'network_g')
    forward = getattr(network, 'forward', None)
    if forward is None:  # a function that builds one
        return
    try:
        inspect.signature(forward).bind('self', 'x', 'cond', 'time')
    except TypeError as error:
        raise OptionError(
            f"'network_g.type': {section['type']} is no network of a diffusion, which is called with the noisy image, "
            f'the dark one and the time: {error}.',
            'network_g.type',
        ) from None


def _check_training(train: TrainOptions) -> None:
    training_options.check_optimiser(train.optim_g)
    training_options.check_schedule(train.scheduler, train.total_iter)
    if train.entropy_opt is not None and train.entropy_opt['type'] != 'SpatialEntropyLoss':
        raise OptionError(
            "'train.entropy_opt.type' must be SpatialEntropyLoss; another pixel loss goes to pixel_opt.",
            'train.entropy_opt.type',
        )
    for name, loss in (('pixel_opt', train.pixel_opt), ('entropy_opt', train.entropy_opt)):
        if loss is not None:
            training_options.check_loss(loss, f'train.{name}')


def _check_model_type(opt: Mapping[str, Any]) -> None:
    name = opt.get('model_type')
    if name is None:
        slip = nearest('model_type', opt)
        near = f" Is '{slip}' a slip?" if slip else ''
        raise OptionError(f"Option 'model_type' is missing: add it to the option file.{near}", slip or '')
    models = arguments.registry_of('model')
    if str(name) not in models and f'{name}_basicsr' not in models:
        near = suggestion(str(name), models.keys())
        raise OptionError(f"'model_type': there is no '{name}'. {near}", 'model_type')


def _check_memory(network: torch.nn.Module) -> None:
    """Reserve what the weights will fill, and give it back: nobody has touched it."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    try:
        torch.empty(parameters)
    except RuntimeError:
        raise OptionError(
            f"Section 'network_g': {parameters:,} parameters, {parameters >> 28:,} GiB, do not fit into the memory of "
            'this machine: lower the width or the numbers of blocks.',
            'network_g',
        ) from None
