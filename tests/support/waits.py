"""What makes the host wait for a GPU, counted on fake tensors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """Counts what makes the host wait: values read from CUDA, and blocking copies to it or from it.

    A fake tensor has no values. Those that are read are 1, and false where a check on the CPU asks whether something
    is wrong.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if func is torch.ops.aten._local_scalar_dense.default and source is not None:
            self.counts['reads'] += source.device.type == 'cuda'
            return source.device.type == 'cuda' if source.dtype == torch.bool else 1
        result = func(*args, **kwargs)
        if func is torch.ops.aten._to_copy.default and source is not None and result.device != source.device:
            self.counts['blocking copies'] += not kwargs.get('non_blocking', False)
        if func is torch.ops.aten.copy_.default and source is not None and args[1].device != source.device:
            self.counts['blocking copies'] += not (args[2] if len(args) > 2 else kwargs.get('non_blocking', False))
        return result
