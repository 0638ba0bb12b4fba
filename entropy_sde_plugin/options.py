"""The option sections of ours: what may stand in them, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import torch
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

from entropy_sde_plugin import basicsr_sections
from entropy_sde_plugin.diffusion import IRSDE
from entropy_sde_plugin.diffusion.denoiser import Prediction
from entropy_sde_plugin.diffusion.samplers import SAMPLERS, Sampler, time_grid
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.schema import parse

__all__ = ['ModelOptions', 'SDEOptions', 'SamplerOptions', 'TrainOptions', 'check', 'model_options', 'train_options']

Positive = Annotated[float, msgspec.Meta(gt=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class SDEOptions(msgspec.Struct, frozen=True):
    """Section ``sde``: the process (see :class:`~entropy_sde_plugin.diffusion.IRSDE`)."""

    max_sigma: Positive = 50.0
    T: AtLeastOne = 100
    schedule: Literal['cosine', 'linear', 'constant'] = 'cosine'
    eps: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005

    def build(self) -> IRSDE:
        return IRSDE(**msgspec.structs.asdict(self))


class SamplerOptions(msgspec.Struct, frozen=True):
    """Section ``sampler``: how validation and test walk from noise to picture (:mod:`.diffusion.samplers`).

    No ``steps`` means ``sde.T`` of them. ``eta`` is the share of fresh noise of ``ddim``.
    """

    type: Literal['posterior', 'euler_maruyama', 'euler_ode', 'ddim', 'dpmpp_2m', 'dpmpp_2m_sde'] = 'posterior'
    steps: AtLeastOne | None = None
    eta: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.eta is not None and self.type != 'ddim':
            raise ValueError(f"eta belongs to the sampler 'ddim', not to '{self.type}': leave it out.")

    def build(self) -> Sampler:
        """The sampler's function, its own arguments given."""
        function = SAMPLERS[self.type]
        return function if self.eta is None else partial(function, eta=self.eta)


class ModelOptions(msgspec.Struct, frozen=True):
    """What training and test must agree on, and how to sample."""

    sde: SDEOptions = SDEOptions()
    sampler: SamplerOptions = SamplerOptions()
    prediction: Prediction = 'noise'

    def settings(self) -> dict[str, Any]:
        """The part that weights depend on, as plain values: it travels inside the checkpoint."""
        return {'sde': msgspec.structs.asdict(self.sde), 'prediction': self.prediction}

    def times(self) -> list[int]:
        """The sampler's time grid.

        Raises:
            InputError: More steps than ``sde.T``.
        """
        return time_grid(self.sde.T, self.sampler.steps or self.sde.T)


class TrainOptions(msgspec.Struct, frozen=True):
    """Section ``train`` of an IRSDEModel: BasicSR's keys, and ours.

    ``objective`` says where the loss compares: at ``previous_state`` (x_{t-1}, the paper's maximum likelihood) or at
    ``x0``. ``entropy_opt`` adds a spatial entropy beside ``pixel_opt``. ``grad_clip_norm`` clips the L2 norm of the
    gradient. ``ema_warmup`` lets the average forget the first iterations: decay min(ema_decay, (1 + n) / (10 + n)).
    """

    optim_g: dict[str, Any]
    scheduler: dict[str, Any]
    total_iter: AtLeastOne
    pixel_opt: dict[str, Any]
    entropy_opt: dict[str, Any] | None = None
    objective: Literal['previous_state', 'x0'] = 'previous_state'
    warmup_iter: int = -1
    ema_decay: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0
    ema_warmup: bool = False
    grad_clip_norm: Positive | None = None


# Keys of an option file beside our sections: BasicSR's own, and those that its parse_options adds.
_TOP_LEVEL = {
    'name', 'model_type', 'scale', 'num_gpu', 'manual_seed', 'datasets', 'network_g', 'path', 'train', 'val', 'logger',
    'dist_params', 'find_unused_parameters', 'dist', 'rank', 'world_size', 'auto_resume', 'is_train', 'root_path',
}  # fmt: skip
_MODEL_SECTIONS = {field.name for field in msgspec.structs.fields(ModelOptions)}


def model_options(opt: Mapping[str, Any]) -> ModelOptions:
    """Read ``sde``, ``sampler`` and ``prediction`` from a BasicSR option dictionary.

    Raises:
        InputError: An unknown option, one out of its range, or more sampling steps than ``sde.T``.
    """
    options = parse(ModelOptions, {key: opt[key] for key in _MODEL_SECTIONS if key in opt}, '')
    options.times()
    return options


def train_options(opt: Mapping[str, Any]) -> TrainOptions:
    """Read the section ``train`` of a BasicSR option dictionary.

    Raises:
        InputError: An unknown, missing or wrong option.
    """
    return parse(TrainOptions, opt['train'], 'train')


def check(opt: Mapping[str, Any]) -> None:
    """Check everything in an option dictionary that this plugin answers for. Options of other models are left alone.

    Raises:
        InputError: In one line, what is wrong and where.
    """
    train = opt.get('train') or {}
    _check_model_type(opt.get('model_type'))
    _check_arguments(ARCH_REGISTRY, opt.get('network_g'), 'network_g')
    for loss in ('pixel_opt', 'entropy_opt'):
        _check_arguments(LOSS_REGISTRY, train.get(loss), f'train.{loss}')
    for phase, section in (opt.get('datasets') or {}).items():
        _check_dataset(section, f'datasets.{phase}')
    if opt['model_type'] != 'IRSDEModel':
        return
    known = _TOP_LEVEL | _MODEL_SECTIONS
    for key in opt:
        if key not in known:
            raise InputError(f"Unknown option '{key}' at the top level. {suggestion(key, known)}")
    basicsr_sections.check_run(opt)
    model_options(opt)
    if opt.get('is_train'):
        _check_training(train_options(opt))


def _check_training(train: TrainOptions) -> None:
    basicsr_sections.check_optimiser(train.optim_g)
    basicsr_sections.check_schedule(train.scheduler, train.total_iter)
    if train.entropy_opt is not None and train.entropy_opt['type'] != 'SpatialEntropyLoss':
        raise InputError("'train.entropy_opt.type' must be SpatialEntropyLoss; another pixel loss goes to pixel_opt.")
    for name, loss in (('pixel_opt', train.pixel_opt), ('entropy_opt', train.entropy_opt)):
        if loss is not None and loss.get('reduction') == 'none':
            raise InputError(f"'train.{name}.reduction' is none, but a training step needs one value: mean or sum.")


def _check_model_type(name: object) -> None:
    if name not in MODEL_REGISTRY and f'{name}_basicsr' not in MODEL_REGISTRY:
        raise InputError(f"'model_type': there is no '{name}'. {suggestion(str(name), MODEL_REGISTRY.keys())}")


def _check_arguments(registry: Any, section: Any, where: str) -> None:
    """Check a section that BasicSR hands to a registered class as keyword arguments."""
    if section is None:
        return
    built = _named_class(registry, section, where)
    arguments = {key: value for key, value in section.items() if key != 'type'}
    basicsr_sections.check_names(built, arguments, where)
    if not _is_ours(built):
        return
    try:
        with torch.device('meta'):  # what the class itself objects to, at no cost of memory
            built(**arguments)
    except (InputError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"Section '{where}': {error}") from None


def _check_dataset(section: Any, where: str) -> None:
    """Check a section of ``datasets`` by the options that one of our datasets declares."""
    dataset = _named_class(DATASET_REGISTRY, section, where)
    if _is_ours(dataset):
        parse(dataset.Options, section, where)


def _named_class(registry: Any, section: Any, where: str) -> Any:
    if not isinstance(section, Mapping):
        raise InputError(f"'{where}' must be a section of options, not {section!r}.")
    return basicsr_sections.registered(registry, section.get('type'), where)


def _is_ours(registered_class: Any) -> bool:
    return registered_class.__module__.startswith('entropy_sde_plugin.')
