"""SpatialEntropyLoss: the spatial entropy as a PyTorch module."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.losses.spatial_entropy.functional import check_options, is_number, spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.neighbours import check_neighbour_weights, draw_neighbour_weights
from entropy_sde_plugin.losses.spatial_entropy.operator import choose_engine

__all__ = ['SpatialEntropyLoss']


class SpatialEntropyLoss(nn.Module):
    """Spatial entropy between a prediction and its target (arXiv 2404.09735, section 3.2).

    Works wherever a pixel loss does: as ``pixel_opt`` of a BasicSR model, or in any PyTorch loop. Its options are those
    of :func:`~.functional.spatial_entropy` and the following.

    Args:
        loss_weight: Factor of the loss.
        levels: Number of bins per axis; or a schedule ``[[0, 8], [2000, 16], [6000, 32]]`` of pairs (first iteration,
            number). Start with few levels: densities of images that are more than a few bins apart do not overlap,
            and the distance has no gradient there. With a schedule the training loop must call `update`, as
            `IRSDEModel` does.
        neighbour_weights: ``random`` (positive, redrawn in every call), ``mean``, or ``legacy_normal`` (the released
            code's signed draws); see `neighbours.draw_neighbour_weights`.

    Raises:
        InputError: An option is wrong.

    Example:
        >>> criterion = SpatialEntropyLoss(levels=16, neighbour_weights='mean')
        >>> target = torch.linspace(0, 1, 3 * 16 * 16).view(1, 3, 16, 16)
        >>> prediction = (target * 0.9).requires_grad_()
        >>> loss = criterion(prediction, target)
        >>> loss.backward()
        >>> loss.item() > criterion(target, target).item(), tuple(prediction.grad.shape)
        (True, (1, 3, 16, 16))
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        distance: str = 'hellinger',
        levels: int | Sequence[Sequence[int]] = 32,
        windows: Sequence[int] = (1, 3, 5),
        bandwidth: float = 0.5,
        neighbour_weights: str = 'random',
        neighbour_normalisation: str = 'per_channel',
        subtract_local_mean: int = 0,
        intensity_range: Sequence[float] = (0.0, 1.0),
        clamp: bool = True,
        normalise_density: bool = False,
        generalised: bool = False,
        hellinger_epsilon: float = 1e-10,
        engine: str = 'auto',
    ) -> None:
        super().__init__()
        check_neighbour_weights(neighbour_weights)
        if not is_number(loss_weight):
            raise InputError(f'loss_weight: {loss_weight!r} is not a number.', option='loss_weight')
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.neighbour_weights = neighbour_weights
        self.steps = _steps(levels)
        self.levels = self.steps[0][1]
        self._waits_for_update = len(self.steps) > 1
        self.options = {
            'distance': distance,
            'windows': windows,
            'bandwidth': bandwidth,
            'neighbour_normalisation': neighbour_normalisation,
            'subtract_local_mean': subtract_local_mean,
            'intensity_range': intensity_range,
            'clamp': clamp,
            'normalise_density': normalise_density,
            'generalised': generalised,
            'hellinger_epsilon': hellinger_epsilon,
            'engine': engine,
        }
        for _, count in self.steps:
            check_options(**self.options, levels=count, reduction=reduction)
        if engine == 'native':
            choose_engine(engine, torch.device('cpu'), torch.float32)

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Compare ``pred`` with ``target``, both (B, C, H, W).

        Args:
            pred: The prediction, any floating dtype, intensities nominally in [0, 1].
            target: The target, a constant.
            weight: Factor of each image, (B,); the mean is still over B.
            generator: CPU generator that draws the neighbour weights; None uses PyTorch's default generator.
                Processes whose generators have the same state draw the same weights. Not supported by torch.compile.

        Returns:
            A scalar, or (B,) for ``reduction='none'``.

        Raises:
            InputError: A shape is wrong.
        """
        if self._waits_for_update:
            self._waits_for_update = False
            warnings.warn(
                f'SpatialEntropyLoss stays at {self.levels} levels until its update(iteration) is called in each step: '
                'the models of this package do that, those of BasicSR do not.',
                stacklevel=2,
            )
        per_image = spatial_entropy(
            pred,
            target,
            levels=self.levels,
            neighbour_weights=draw_neighbour_weights(self.neighbour_weights, generator),
            reduction='none',
            **self.options,
        )
        if weight is not None:
            if weight.shape != per_image.shape:
                raise InputError(f'weight: shape {tuple(weight.shape)}; one value for each of {len(pred)} images.')
            per_image = per_image * weight
        if self.reduction == 'mean':
            per_image = per_image.mean()
        elif self.reduction == 'sum':
            per_image = per_image.sum()
        return self.loss_weight * per_image

    def update(self, iteration: int) -> None:
        """Set the number of levels for a training iteration, counted from 0."""
        self._waits_for_update = False
        self.levels = max(step for step in self.steps if step[0] <= iteration)[1]

    def extra_repr(self) -> str:
        """Show the options in ``print(model)``."""
        shown = {
            'loss_weight': self.loss_weight,
            'reduction': self.reduction,
            'levels': self.levels if len(self.steps) == 1 else self.steps,
            'neighbour_weights': self.neighbour_weights,
            **self.options,
        }
        return ', '.join(f'{name}={value!r}' for name, value in shown.items())


def _steps(levels: int | Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Read the option ``levels`` as pairs (first iteration, levels), the iterations increasing from 0."""
    if isinstance(levels, int):
        return [(0, levels)]
    message = f'levels: {levels!r} is neither a number nor steps such as [[0, 8], [2000, 16], [6000, 32]].'
    wrong = InputError(message, option='levels')
    if not isinstance(levels, Sequence) or not all(isinstance(step, Sequence) and len(step) == 2 for step in levels):
        raise wrong
    steps = [(start, count) for start, count in levels]
    starts = [start for start, _ in steps]
    if not all(isinstance(start, int) for start in starts) or starts[:1] != [0] or starts != sorted(set(starts)):
        raise wrong
    return steps
