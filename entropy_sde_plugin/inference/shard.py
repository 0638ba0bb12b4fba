"""Distribution of work over the processes that torchrun starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from entropy_sde_plugin.utils.launchers import rank_and_size

__all__ = ['Share']

Item = TypeVar('Item')


@dataclass(frozen=True)
class Share:
    """One process's share.

    Attributes:
        rank: The number of the process, 0 … size - 1.
        size: How many processes there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def from_environment(cls) -> Share:
        """Read ``RANK`` and ``WORLD_SIZE``; without them there is one process.

        Raises:
            InputError: They are inconsistent.
        """
        return cls(*rank_and_size())

    def part(self, items: Sequence[Item]) -> list[Item]:
        """Return this process's part of a list that is the same in all of them."""
        return list(items[self.rank :: self.size])

    def device(self, device: str) -> str:
        """Return this process's own device where ``device`` leaves open which of several is meant."""
        import torch

        from entropy_sde_plugin.utils.devices import accelerator

        kind = accelerator()
        if self.size == 1 or kind is None or device not in ('auto', kind.type) or torch.accelerator.device_count() == 1:
            return device
        return f'{kind.type}:{os.environ.get("LOCAL_RANK", self.rank)}'

    def total(self, counts: Sequence[int]) -> list[int]:
        """Wait for the other processes of torchrun and return the sums of all their counts.

        torchrun ends the others as soon as one fails, so none may report a failure before all have finished. Processes
        that were started in another way do not wait for each other: they get their own counts.
        """
        import torch.distributed

        from entropy_sde_plugin.utils.distributed import meet

        if self.size == 1 or not torch.distributed.is_torchelastic_launched():
            return list(counts)
        # All is written, and a handler in Python would not run while this process waits.
        before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
        meet('gloo', timeout=timedelta(days=30))
        sums = torch.tensor(counts)
        torch.distributed.all_reduce(sums)
        torch.distributed.destroy_process_group()
        signal.signal(signal.SIGTERM, before)
        return sums.tolist()
