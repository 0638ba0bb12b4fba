"""Settings of the spatial entropy whose time and memory are measured, and their images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from entropy_sde_plugin.data.augmentation import middle
from entropy_sde_plugin.demo.photographs import TRAIN, photograph

__all__ = ['PAPER', 'Case']


@dataclass(frozen=True)
class Case:
    """One setting of the loss and the images it is called with.

    Attributes:
        pair: ``photograph``: the middle of one, and the same with noise; ``noise``: two of uniform noise.
    """

    distance: str
    windows: tuple[int, ...]
    levels: int
    batch: int
    side: int
    neighbours: str = 'all_channels'
    pair: str = 'photograph'

    def __str__(self) -> str:
        windows = '-'.join(map(str, self.windows))
        return f'{self.distance} {windows}, L {self.levels}, {self.batch}x3x{self.side}x{self.side}'

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `functional.spatial_entropy`."""
        return {
            'distance': self.distance,
            'levels': self.levels,
            'windows': self.windows,
            'neighbour_normalisation': self.neighbours,
        }

    def images(self) -> list[Tensor]:
        """Return the prediction and the target, (batch, 3, side, side) each."""
        rng = np.random.default_rng(0)
        shape = (self.batch, 3, self.side, self.side)
        if self.pair == 'noise':
            return [torch.tensor(rng.uniform(size=shape), dtype=torch.float32) for _ in range(2)]
        target = np.stack([self._middle(TRAIN[k % len(TRAIN)]) for k in range(self.batch)])
        pred = target + 0.05 * rng.normal(size=shape)
        return [torch.tensor(image, dtype=torch.float32) for image in (pred, target)]

    def _middle(self, name: str) -> np.ndarray[Any, Any]:
        """The middle of a photograph, which is repeated where it is too small."""
        image = photograph(name)
        image = np.tile(image, (-(-self.side // image.shape[0]), -(-self.side // image.shape[1]), 1))
        return middle(image, self.side).transpose(2, 0, 1) / 255


PAPER = Case('hellinger', (1, 3, 5), 32, 8, 128)
"""The paper's batch."""
