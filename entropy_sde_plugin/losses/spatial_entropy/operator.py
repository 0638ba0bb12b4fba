"""The choice of the engine, and the engines as one differentiable operator."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec, SpatialEntropyEngine
from entropy_sde_plugin.losses.spatial_entropy.native import engine as native_engine
from entropy_sde_plugin.losses.spatial_entropy.pytorch import engine as pytorch_engine
from entropy_sde_plugin.losses.spatial_entropy.triton import first_use as triton_engine

__all__ = ['ENGINES', 'choose_engine', 'plane_distance']

ENGINES = ('auto', 'torch', 'native', 'triton')

PUBLISHED = EntropySpec('hellinger', levels=32, windows=(1, 3, 5), bandwidth=0.5, prefactor=4.0)

_OPERATOR = 'entropy_sde::distance_and_gradient'


def choose_engine(engine: str, device: torch.device, dtype: torch.dtype, spec: EntropySpec = PUBLISHED) -> str:
    """Resolve ``auto``: for float32 the native engine on the CPU and Triton's on CUDA, else PyTorch's.

    Args:
        engine: One of `ENGINES`.
        device: Where the images are.
        dtype: Their type.
        spec: What is to be computed: Triton's kernels are compiled for it, and compared before they are used.

    Returns:
        ``torch``, ``native`` or ``triton``. The choice of ``auto`` is logged once, as a warning if a faster engine
        should work here and does not.

    Raises:
        InputError: ``native`` or ``triton`` was requested but cannot be used.
    """
    if engine == 'torch':
        return engine
    fused = engine if engine != 'auto' else 'triton' if device.type == 'cuda' else 'native'
    obstacle, level = _obstacle(fused, device, dtype, spec)
    if engine == fused and obstacle:
        raise InputError(f"engine '{engine}' cannot be used: {obstacle}. Use 'auto' or 'torch'.")
    chosen = 'torch' if obstacle else fused
    if engine == 'auto':
        reason = f"; '{fused}' cannot be used: {obstacle}" if obstacle else ''
        _log_once(f"Spatial entropy: engine 'auto' uses '{chosen}'{reason}.", level)
    return chosen


def _obstacle(fused: str, device: torch.device, dtype: torch.dtype, spec: EntropySpec) -> tuple[str | None, int]:
    """Why the native or Triton's engine cannot be used, or None, and the level at which ``auto`` logs it."""
    home, name = ('cpu', 'the CPU') if fused == 'native' else ('cuda', 'CUDA devices')
    if device.type != home and not (fused == 'triton' and triton_engine.interpreted()):
        return f'it computes on {name} and the images are on {device.type}', logging.INFO
    if dtype != torch.float32:
        return f'it computes in float32 and the images are {dtype}', logging.INFO
    if fused == 'native':
        reason = native_engine.why_unavailable()
    else:
        reason = triton_engine.why_unfit(device, triton_engine.case_like(spec))
    return reason, logging.WARNING if reason else logging.INFO


@cache
def _log_once(message: str, level: int) -> None:
    # Below BasicSR's logger, so that a training's log shows it, once and on the first process only.
    logging.getLogger('basicsr.spatial_entropy').log(level, message)


def plane_distance(v: Tensor, v_nbr: Tensor, w: Tensor, w_nbr: Tensor, spec: EntropySpec, engine: str) -> Tensor:
    """Run an engine as a differentiable operator.

    Args:
        v: The prediction's planes (N, H, W), contiguous, in level units; see `definition`.
        v_nbr: The prediction's neighbour means.
        w: The target's planes.
        w_nbr: The target's neighbour means.
        spec: The options.
        engine: One of `ENGINES`; see `choose_engine`.

    Returns:
        The distance of each plane, (N,), differentiable once in ``v`` and ``v_nbr``.
    """
    need_gradient = torch.is_grad_enabled() and (v.requires_grad or v_nbr.requires_grad)
    # torch.compile takes the operator as one opaque node. torch.func's transforms take functions alone.
    operator = _operator if torch.compiler.is_compiling() else _Distance.apply
    distance, _, _ = operator(
        v,
        v_nbr,
        w,
        w_nbr,
        spec.distance,
        spec.levels,
        spec.windows,
        spec.bandwidth,
        spec.prefactor,
        spec.normalise,
        spec.root_epsilon,
        engine,
        need_gradient,
    )
    return distance


# A custom operator rather than an autograd.Function: torch.compile takes it as one opaque node, without a graph break.
# Defined by its schema, since torch.library.custom_op imports the compiler, 170 MB, at its first eager call.
torch.library.define(
    _OPERATOR,
    '(Tensor v, Tensor v_nbr, Tensor w, Tensor w_nbr, str distance, int levels, int[] windows, float bandwidth, '
    'float prefactor, bool normalise, float root_epsilon, str engine, bool need_gradient) -> (Tensor, Tensor, Tensor)',
)


@torch.library.impl(_OPERATOR, 'default')
def _distance_and_gradient(
    v: Tensor,
    v_nbr: Tensor,
    w: Tensor,
    w_nbr: Tensor,
    distance: str,
    levels: int,
    windows: Sequence[int],
    bandwidth: float,
    prefactor: float,
    normalise: bool,
    root_epsilon: float,
    engine: str,
    need_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    spec = EntropySpec(distance, levels, tuple(windows), bandwidth, prefactor, normalise, root_epsilon)
    compute = _engine(choose_engine(engine, v.device, v.dtype, spec))
    value, grad_v, grad_v_nbr = compute(v, v_nbr, w, w_nbr, spec, need_gradient)
    if grad_v is None or grad_v_nbr is None:
        return value, v.new_empty(0), v.new_empty(0)
    return value, grad_v, grad_v_nbr


def _engine(name: str) -> SpatialEntropyEngine:
    if name == 'triton':
        # Triton is not there on every platform, and takes a second to import.
        from entropy_sde_plugin.losses.spatial_entropy.triton.engine import distance_and_gradient

        return distance_and_gradient
    return (native_engine if name == 'native' else pytorch_engine).distance_and_gradient


@torch.library.register_fake(_OPERATOR)
def _shapes(v: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    if args[-1]:
        return v.new_empty(v.shape[0]), torch.empty_like(v), torch.empty_like(v)
    return v.new_empty(v.shape[0]), v.new_empty(0), v.new_empty(0)


def _keep_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, grad_v, grad_v_nbr = output
    ctx.mark_non_differentiable(grad_v, grad_v_nbr)
    ctx.save_for_backward(grad_v, grad_v_nbr)
    ctx.arguments = len(inputs)


def _scale_gradients(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    scale = upstream[:, None, None]
    gradients = [scale * gradient for gradient in ctx.saved_tensors]
    return (*gradients, *([None] * (ctx.arguments - 2)))


torch.library.register_autograd(_OPERATOR, _scale_gradients, setup_context=_keep_gradients)

_operator = torch.ops.entropy_sde.distance_and_gradient


class _Distance(torch.autograd.Function):
    """The operator as a function, with the same derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        return _operator(*inputs)

    setup_context = staticmethod(_keep_gradients)
    backward = staticmethod(_scale_gradients)
