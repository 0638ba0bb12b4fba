"""One optimiser step: from a batch's losses to changed weights, or to none where a number is not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from entropy_sde_plugin.options.training import TrainOptions

__all__ = ['TrainingStep', 'prepare_network']

Losses = dict[str, Tensor]

_AUTOCAST_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def prepare_network(network: nn.Module, options: TrainOptions) -> nn.Module:
    """Lay out and compile a bare network for training, in place: its names and its state dict stay what they are."""
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if options.compile:
        network.compile()
    return network


class TrainingStep:
    """The step from the losses of a batch to new weights: parts, precision, clipping, and skipped steps.

    Args:
        network: The network in training, as BasicSR wraps it.
        optimizer: Optimiser of its parameters, and perhaps of a loss's.
        options: ``accumulate_steps``, ``grad_clip_norm``, ``precision``, ``channels_last`` and ``tf32`` of the section
            ``train``. ``tf32`` is PyTorch's setting for the whole process, validation included.

    Attributes:
        network: As given.
        skipped_in_row: Number of steps skipped in a row, up to now.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, options: TrainOptions) -> None:
        self.network = network
        self._optimizer = optimizer
        self._parameters = [p for group in optimizer.param_groups for p in group['params']]
        self._options = options
        self._device = next(network.parameters()).device
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=options.precision == 'fp16')
        self.skipped_in_row = 0
        if options.tf32 is not None:
            torch.backends.cuda.matmul.allow_tf32 = options.tf32
            torch.backends.cudnn.allow_tf32 = options.tf32

    def predict(self, xt: Tensor, cond: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The network's output under ``precision`` and ``channels_last``, in float32: (B, C, H, W), as ``xt``.

        The parameters stay in float32, and so does everything before and after the network.
        """
        (output,) = self.run(lambda *images: [self.network(*images, **inputs)], xt, cond, t)
        return output

    def run(self, function: Callable[..., Sequence[Tensor]], *inputs: Tensor) -> list[Tensor]:
        """Call a function of the network's parts as :meth:`predict` calls the network.

        Args:
            function: Returns images.
            inputs: Images, and tensors of other dimensions.
        """
        # Times come from the CPU; a blocking copy would wait for a GPU to finish its work.
        inputs = tuple(value.to(self._device, non_blocking=True) for value in inputs)
        if self._options.channels_last:
            inputs = tuple(_channels_last(value) for value in inputs)
        dtype = _AUTOCAST_DTYPES.get(self._options.precision)
        with torch.autocast(self._device.type, dtype, enabled=dtype is not None):
            return [output.float() for output in function(*inputs)]

    def __call__(self, losses_of: Callable[[slice], Losses], batch_size: int) -> tuple[Losses, bool]:
        """Change the weights by one step, or leave weights, buffers and optimiser as they were, bit for bit.

        The batch passes the network in ``accumulate_steps`` parts, whose gradients are summed; the step is that of the
        whole batch, at the memory of a part. It is skipped where a loss or the gradient has a NaN or an infinity, in
        all processes if in one. To decide this is the only time that a step waits for a GPU.

        Args:
            losses_of: What a part of the batch contributes to its losses, scalars by name.
            batch_size: Number of images.

        Returns:
            The losses of the batch, without gradient, and whether the step was taken.
        """
        buffers = [buffer.clone() for buffer in self.network.buffers()]  # running statistics see the batch too
        self._optimizer.zero_grad()
        losses = self._backward(losses_of, batch_size)
        self._average_others()
        self._scaler.unscale_(self._optimizer)
        taken = self._finite(losses)
        if taken:
            if self._options.grad_clip_norm is not None:
                nn.utils.clip_grad_norm_(self._parameters, self._options.grad_clip_norm)
            self._optimizer.step()  # not by the scaler, which would read once more whether the gradient is finite
        else:
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        self._scaler.update()
        self.skipped_in_row = 0 if taken else self.skipped_in_row + 1
        return losses, taken

    def state_dict(self) -> dict[str, object]:
        """What a resumed training needs, as plain values."""
        return {'skipped_in_row': self.skipped_in_row, 'scaler': self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what ``state_dict`` returned; a scaler's state only if both runs have a scaler."""
        self.skipped_in_row = int(state['skipped_in_row'])  # pyright: ignore[reportArgumentType]
        if state['scaler'] and self._scaler.is_enabled():
            self._scaler.load_state_dict(state['scaler'])  # pyright: ignore[reportArgumentType]

    def _backward(self, losses_of: Callable[[slice], Losses], batch_size: int) -> Losses:
        size = math.ceil(batch_size / self._options.accumulate_steps)
        total: Losses = {}
        for start in range(0, batch_size, size):
            last = start + size >= batch_size
            with contextlib.nullcontext() if last else self._unsynchronised():
                part = losses_of(slice(start, start + size))
                self._scaler.scale(torch.stack(list(part.values())).sum()).backward()
            for name, loss in part.items():
                total[name] = total[name] + loss.detach() if name in total else loss.detach()
        return total

    def _unsynchronised(self) -> contextlib.AbstractContextManager[None]:
        """Keep the gradient in its process until the last part's."""
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return contextlib.nullcontext()

    def _average_others(self) -> None:
        """Average over the processes what DistributedDataParallel does not: gradients of parameters that are not the
        network's."""
        if not isinstance(self.network, DistributedDataParallel):
            return
        averaged = {id(parameter) for parameter in self.network.parameters()}
        for parameter in self._parameters:
            if id(parameter) not in averaged and parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= torch.distributed.get_world_size()

    def _finite(self, losses: Losses) -> bool:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        greatest = [torch.linalg.vector_norm(value, math.inf) for value in gradients]  # that of a NaN is a NaN
        finite = torch.isfinite(torch.stack([*losses.values(), *greatest])).all()
        if torch.distributed.is_initialized():
            finite = finite.to(torch.uint8)
            torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
        return bool(finite)


def _channels_last(value: Tensor) -> Tensor:
    return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
