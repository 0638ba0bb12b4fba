"""What the spatial entropy does not have: second derivatives, and derivatives in forward mode.

Its engines return a gradient and no more. PyTorch would take it for a constant in a second derivative, and drop it in
forward mode: wrong results, without any error.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from entropy_sde_plugin.errors import InputError

__all__ = ['first_order']


def first_order(x: Tensor) -> Tensor:
    """Return ``x`` for a computation that has only first derivatives, in reverse mode.

    Second derivatives in ``x``, and derivatives in forward mode, raise an ``InputError``. torch.compile refuses the
    former by itself.
    """
    if not torch.compiler.is_compiling():
        return _Source.apply(x)
    if forward_ad._current_level >= 0:
        raise _refuse()
    return x


def _refuse() -> InputError:
    return InputError(
        'The spatial entropy has no second derivatives and none in forward mode (torch.func.jvp, hessian, a gradient '
        'penalty): use first derivatives in reverse mode, such as backward() and torch.func.grad.'
    )


class _Source(torch.autograd.Function):
    """Identity, whose gradient depends on the input."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Gradient.apply(gradient, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, *_: Tensor) -> Tensor:
        raise _refuse()


class _Gradient(torch.autograd.Function):
    """Identity of a gradient that has no derivative in its source."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, source: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, Tensor]:
        raise _refuse()

    @staticmethod
    def jvp(ctx: Any, *_: Tensor) -> Tensor:
        raise _refuse()
