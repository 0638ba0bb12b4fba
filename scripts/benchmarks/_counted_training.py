"""BasicSR's training in a process that counts what it shares with the others: ``_counted_training.py FILE -opt …``.

After the training, the first process writes to FILE, as JSON, for each kind of collective its calls and the bytes of
its tensors: ``gradients`` for DistributedDataParallel's, ``all_reduce``, ``reduce`` and ``broadcast`` for the rest.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch.distributed
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from entropy_sde_plugin import train

Traffic = defaultdict[str, dict[str, int]]


def main(file: Path) -> None:
    traffic: Traffic = defaultdict(lambda: {'calls': 0, 'bytes': 0})
    count_gradients(traffic)
    for name in ('all_reduce', 'reduce', 'broadcast'):
        count(traffic, name)
    train.main()
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        file.write_text(json.dumps(traffic))


def note(traffic: Traffic, name: str, tensor: Tensor) -> None:
    traffic[name]['calls'] += 1
    traffic[name]['bytes'] += tensor.numel() * tensor.element_size()


def count(traffic: Traffic, name: str) -> None:
    """Count the calls of a collective of ``torch.distributed``."""
    original = getattr(torch.distributed, name)

    def collective(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        note(traffic, name, tensor)
        return original(tensor, *args, **kwargs)

    setattr(torch.distributed, name, collective)


def count_gradients(traffic: Traffic) -> None:
    """Count what DistributedDataParallel shares, by a hook that does what it would do without."""
    original, all_reduce = DistributedDataParallel.__init__, torch.distributed.all_reduce

    def share(_, bucket):  # DistributedDataParallel takes no annotations that are text
        gradient = bucket.buffer()
        note(traffic, 'gradients', gradient)
        work = all_reduce(gradient.div_(torch.distributed.get_world_size()), async_op=True)
        return work.get_future().then(lambda future: future.value()[0])  # pyright: ignore[reportOptionalMemberAccess]

    def init(self: DistributedDataParallel, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.register_comm_hook(None, share)

    DistributedDataParallel.__init__ = init


if __name__ == '__main__':
    main(Path(sys.argv.pop(1)))
