"""The option sections that BasicSR reads itself, as an IRSDEModel uses them: a misspelt key there is ignored in silence
or fails hours later."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec
import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import METRIC_REGISTRY

from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.schema import parse

__all__ = ['check_names', 'check_optimiser', 'check_run', 'check_schedule', 'needs_truth', 'registered']

Frequency = Annotated[float, msgspec.Meta(gt=0)]


class PathOptions(msgspec.Struct, frozen=True):
    """Section ``path``; the folders are added by BasicSR."""

    pretrain_network_g: str | None = None
    strict_load_g: bool = True
    param_key_g: str | None = 'params'
    resume_state: str | None = None
    ignore_resume_networks: list[str] | str | None = None
    experiments_root: str = ''
    results_root: str = ''
    models: str = ''
    training_states: str = ''
    log: str = ''
    visualization: str = ''


class ValOptions(msgspec.Struct, frozen=True):
    """Section ``val``; ``seeds``, of the sampling, is ours: without it ``sampler.seed`` alone."""

    val_freq: Frequency | None = None
    save_img: bool = False
    suffix: str | int | None = None
    pbar: bool = False
    seeds: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] | None = None
    metrics: dict[str, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.seeds is not None and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"'seeds' names one twice: {', '.join(map(str, self.seeds))}.")


class LoggerOptions(msgspec.Struct, frozen=True):
    """Section ``logger``."""

    print_freq: Frequency
    save_checkpoint_freq: Frequency
    use_tb_logger: bool = False
    wandb: dict[str, Any] | None = None


_SCHEDULERS: dict[str, Callable[..., Any]] = {
    'MultiStepLR': lr_scheduler.MultiStepRestartLR,
    'MultiStepRestartLR': lr_scheduler.MultiStepRestartLR,
    'CosineAnnealingRestartLR': lr_scheduler.CosineAnnealingRestartLR,
}


def registered(registry: Any, name: object, where: str) -> Any:
    """What a registry of BasicSR knows under a name, or under the short name of one of BasicSR's own.

    Raises:
        InputError: Nobody has registered that name.
    """
    for full_name in (name, f'{name}_basicsr'):
        if full_name in registry:
            return registry.get(full_name)
    names = [key.removesuffix('_basicsr') for key in registry.keys()]  # noqa: SIM118  a registry iterates over pairs
    raise InputError(f"'{where}.type': there is no '{name}'. {suggestion(str(name), names)}")


def check_names(built: Callable[..., Any], given: Iterable[str], where: str, added: Iterable[str] = ()) -> None:
    """Check keyword arguments from an option file against a signature.

    Args:
        built: What will be called.
        given: Names in the option file, ``type`` left out.
        where: The section, for messages.
        added: Names that the caller gives besides.

    Raises:
        InputError: An argument that does not exist, or a missing one.
    """
    given = list(given)
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(built).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name not in added
    }
    for name in given:
        if name not in parameters:
            raise InputError(f"Unknown option '{where}.{name}' of {built.__name__}. {suggestion(name, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            raise InputError(f"Option '{where}.{name}' of {built.__name__} is missing: add it to the option file.")


def check_run(opt: Mapping[str, Any]) -> None:
    """Check ``path``, ``val`` and ``logger``, and the sections a run cannot do without.

    Raises:
        InputError: A section is missing, or an option unknown, missing or wrong.
    """
    for section in ('name', 'datasets', 'network_g', 'path', *(('train', 'logger') if opt.get('is_train') else ())):
        if opt.get(section) is None:
            raise InputError(f"Section '{section}' is missing: add it to the option file.")
    if opt.get('is_train') and 'train' not in opt['datasets']:
        raise InputError("Section 'datasets.train' is missing: add it to the option file.")
    for key in ('batch_size_per_gpu', 'num_worker_per_gpu') if opt.get('is_train') else ():
        if key not in opt['datasets']['train']:
            raise InputError(f"Option 'datasets.train.{key}' is missing: add it to the option file.")
    parse(PathOptions, opt['path'], 'path')
    if opt.get('logger') is not None:
        parse(LoggerOptions, opt['logger'], 'logger')
    val = opt.get('val')
    if val is not None:
        if parse(ValOptions, val, 'val').val_freq is None and opt.get('is_train'):
            raise InputError("Option 'val.val_freq' is missing: add it to the option file.")
        for key, metric in (val.get('metrics') or {}).items():
            _check_metric(metric, f'val.metrics.{key}')


def _check_metric(metric: Mapping[str, Any], where: str) -> None:
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
        InputError: No such optimiser, or not one of its options.
    """
    name = str(section.get('type'))
    optimisers = {key: value for key, value in vars(torch.optim).items() if inspect.isclass(value) and key[0].isupper()}
    if name not in optimisers:
        raise InputError(f"'train.optim_g.type': there is no '{name}'. {suggestion(name, optimisers)}")
    check_names(optimisers[name], section.keys() - {'type'}, 'train.optim_g', added=('params',))


def check_schedule(section: Mapping[str, Any], total_iter: int) -> None:
    """Check ``train.scheduler`` against BasicSR's schedulers and the training's length.

    Raises:
        InputError: No such scheduler, not one of its options, or periods that end before the training.
    """
    name = str(section.get('type'))
    if name not in _SCHEDULERS:
        raise InputError(f"'train.scheduler.type': there is no '{name}'. {suggestion(name, _SCHEDULERS)}")
    check_names(_SCHEDULERS[name], section.keys() - {'type'}, 'train.scheduler', added=('optimizer', 'last_epoch'))
    periods = section.get('periods')
    if periods is not None and sum(periods) < total_iter:
        raise InputError(
            f"'train.scheduler.periods' last {sum(periods)} iterations and the training {total_iter} (total_iter): "
            'lengthen the periods.'
        )
