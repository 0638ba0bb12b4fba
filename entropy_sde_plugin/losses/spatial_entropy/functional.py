"""The differentiable spatial entropy between two images (arXiv 2404.09735, section 3.2): the functional core."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from entropy_sde_plugin.errors import InputError, quoted, suggestion
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.details import without_local_mean
from entropy_sde_plugin.losses.spatial_entropy.first_order import first_order
from entropy_sde_plugin.losses.spatial_entropy.mass import mean_mass
from entropy_sde_plugin.losses.spatial_entropy.neighbours import NEIGHBOUR_NORMALISATIONS, neighbour_mean
from entropy_sde_plugin.losses.spatial_entropy.operator import ENGINES, plane_distance

__all__ = ['REDUCTIONS', 'check_options', 'is_number', 'spatial_entropy']

REDUCTIONS = ('mean', 'sum', 'none')

MOST_LEVELS = 4096
"""Far more than the 256 of an image; a typing error such as 32e3 would use up the memory."""

MOST_WINDOW = 1023
"""In pixels: such a window covers a patch of 512x512 even from its corners."""

BANDWIDTHS = 0.01, 100.0
"""Least and largest bandwidth in levels: kernels between a hundredth of a bin and all of the bins."""

HELLINGER_EPSILONS = 1e-30, 1.0
"""Least and largest ``hellinger_epsilon``: above what float32 holds, below the largest distance."""


def spatial_entropy(
    pred: Tensor,
    target: Tensor,
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    bandwidth: float = 0.5,
    neighbour_weights: Tensor | None = None,
    neighbour_normalisation: str = 'per_channel',
    subtract_local_mean: int = 0,
    intensity_range: Sequence[float] = (0.0, 1.0),
    clamp: bool = True,
    normalise_density: bool = False,
    generalised: bool = False,
    hellinger_epsilon: float = 1e-10,
    engine: str = 'auto',
    reduction: str = 'mean',
) -> Tensor:
    """Compare the spatial densities of two images; differentiable once, in ``pred``.

    Around every pixel, the joint density of a pixel's intensity and the mean of its neighbours is estimated by kernels
    over L x L bins; the densities of both images are compared by ``distance`` and averaged over pixels, channels and
    windows. The formulas are in `definition`. Computed in float32, also under autocast, or in float64 when
    an input is float64; never holds an L x L x pixels tensor. The defaults are the published definition; the options
    from ``subtract_local_mean`` to ``hellinger_epsilon`` change it, each for the reason given.

    Args:
        pred: (B, C, H, W), any floating dtype; intensities nominally in [0, 1].
        target: Like ``pred``, a constant.
        distance: ``hellinger``, ``relative_entropy`` or ``cross_entropy``.
        levels: Number of bins L per axis, at least 2.
        windows: Distinct odd side lengths of the windows, at most 1023; the result is the mean over them.
        bandwidth: Kernel width h in levels, 0.01 to 100.
        neighbour_weights: Nine values, row-major, the centre ignored; None weighs all neighbours equally.
        neighbour_normalisation: ``per_channel`` or ``all_channels`` (the released code's: C times smaller means).
        subtract_local_mean: Odd side of a window, at least 3: both images first lose their mean over the window around
            each pixel, so that details are compared, whatever the brightness around them. Needs an ``intensity_range``
            around 0, such as (-0.25, 0.25). 0 compares the images as they are, as published.
        intensity_range: The intensities of the first and the last bin. A diffusion state leaves [0, 1]: near t = T,
            around a dark mean, the clamp removes the gradient of about 30% of the pixels. A range that contains the
            state, such as (-0.5, 1.5), keeps it, with wider bins.
        clamp: Clamp both images to the range first. Without it, pixels outside keep a gradient as far as their kernels
            reach into the bins, and for the relative entropy until their density falls to its epsilon, about 11 levels
            outside.
        normalise_density: Divide each pixel's kernels by their sums over the bins. The published prefactor
            1 / (0.5 h) makes a density of them only for h = 0.5 and away from the first and last bins.
        generalised: Add the difference of the masses, sum of p - sum of q, to the relative entropy (the generalised
            Kullback-Leibler divergence). Since the published densities' masses differ, a washed-out prediction can
            score below zero; with it the minimum is 0, at the target.
        hellinger_epsilon: Smooths the square root of the Hellinger distance near 0, where rounding errors would decide
            the gradient's direction. Windows whose distance is below the epsilon's square root (the largest distance
            is sqrt(2)) count as equal. 1e-30 to 1.
        engine: ``torch`` (PyTorch, any device), ``native`` (C++, CPU, float32), ``triton`` (CUDA, float32) or ``auto``:
            the one that belongs to the device, where it can be used.
        reduction: ``mean`` over the batch, ``sum`` over it, or ``none`` for one value per image.

    Returns:
        A scalar, or (B,) for ``none``; float32 or float64.

    Raises:
        InputError: An option or a shape is wrong; or, later, a second derivative or one in forward mode is asked for.
    """
    check_options(
        distance=distance,
        levels=levels,
        windows=windows,
        bandwidth=bandwidth,
        neighbour_normalisation=neighbour_normalisation,
        subtract_local_mean=subtract_local_mean,
        intensity_range=intensity_range,
        clamp=clamp,
        normalise_density=normalise_density,
        generalised=generalised,
        hellinger_epsilon=hellinger_epsilon,
        engine=engine,
        reduction=reduction,
    )
    _check_images(pred, target)
    if neighbour_weights is not None and not (isinstance(neighbour_weights, Tensor) and neighbour_weights.numel() == 9):
        raise InputError(f'neighbour_weights: {quoted(neighbour_weights)} is neither a tensor of nine values nor None.')
    prefactor = 1.0 if normalise_density else 1 / (0.5 * bandwidth)
    spec = EntropySpec(
        distance, levels, tuple(windows), bandwidth, prefactor, normalise_density, root_epsilon=hellinger_epsilon
    )
    dtype = torch.float64 if torch.float64 in (pred.dtype, target.dtype) else torch.float32
    weights = torch.ones(3, 3) if neighbour_weights is None else neighbour_weights

    def planes(image: Tensor) -> tuple[Tensor, Tensor]:
        """Map an image to level units; return its planes (B C, H, W) and those of its neighbour means."""
        low, high = intensity_range
        x = image.to(dtype)
        if subtract_local_mean:
            x = without_local_mean(x, subtract_local_mean)
        if clamp:
            x = x.clamp(low, high)
        v = (x - low) * ((levels - 1) / (high - low))
        v_nbr = neighbour_mean(v, weights, neighbour_normalisation)
        return v.flatten(0, 1).contiguous(), v_nbr.flatten(0, 1).contiguous()

    with torch.autocast(pred.device.type, enabled=False):
        v, v_nbr = planes(first_order(pred))
        w, w_nbr = planes(target.detach())
        per_plane = plane_distance(v, v_nbr, w, w_nbr, spec, engine)
        if generalised:
            per_plane = per_plane + mean_mass(v, v_nbr, spec) - mean_mass(w, w_nbr, spec)
        per_image = per_plane.view(pred.shape[:2]).mean(1)
        if reduction == 'none':
            return per_image
        return per_image.mean() if reduction == 'mean' else per_image.sum()


def check_options(
    *,
    distance: str,
    levels: int,
    windows: Sequence[int],
    bandwidth: float,
    neighbour_normalisation: str,
    subtract_local_mean: int,
    intensity_range: Sequence[float],
    clamp: bool,
    normalise_density: bool,
    generalised: bool,
    hellinger_epsilon: float,
    engine: str,
    reduction: str,
) -> None:
    """Raise an InputError for the first wrong option of `spatial_entropy`."""
    _check_choice('distance', distance, DISTANCES)
    _check_choice('neighbour_normalisation', neighbour_normalisation, NEIGHBOUR_NORMALISATIONS)
    _check_choice('engine', engine, ENGINES)
    _check_choice('reduction', reduction, REDUCTIONS)
    if not _is_int(levels) or not 2 <= levels <= MOST_LEVELS:
        raise _wrong('levels', f'{levels!r} is not a whole number of at least 2 and at most {MOST_LEVELS}.')
    if not isinstance(windows, Sequence) or not windows or not all(_is_int(w) and w > 0 and w % 2 for w in windows):
        raise _wrong('windows', f'{windows!r} is not a list of positive odd numbers, such as [1, 3, 5].')
    if max(windows) > MOST_WINDOW:
        raise _wrong('windows', f'{windows!r} contains a window wider than {MOST_WINDOW} pixels.')
    if len(set(windows)) < len(windows):
        raise _wrong('windows', f'{windows!r} contains a window twice.')
    _check_range('bandwidth', bandwidth, *BANDWIDTHS)
    _check_range('hellinger_epsilon', hellinger_epsilon, *HELLINGER_EPSILONS)
    ends = intensity_range if isinstance(intensity_range, Sequence) else ()
    if len(ends) != 2 or not all(is_number(end) for end in ends) or not ends[0] < ends[1]:
        raise _wrong('intensity_range', f'{intensity_range!r} is not a pair of increasing numbers, such as [0, 1].')
    _check_local_mean(subtract_local_mean, ends)
    for option, value in (('clamp', clamp), ('normalise_density', normalise_density), ('generalised', generalised)):
        if not isinstance(value, bool):
            raise _wrong(option, f'{value!r} is not true or false.')
    if generalised and distance != 'relative_entropy':
        raise _wrong('generalised', f"only for 'relative_entropy', not for '{distance}'.")
    if generalised and normalise_density:
        raise _wrong('generalised', 'has no effect with normalise_density, whose masses are equal: choose one.')


def _check_local_mean(window: int, ends: Sequence[float]) -> None:
    if window == 0 and not isinstance(window, bool):
        return
    if not _is_int(window) or window % 2 == 0 or not 3 <= window <= MOST_WINDOW:
        raise _wrong('subtract_local_mean', f'{window!r} is neither 0 nor an odd number from 3 to {MOST_WINDOW}.')
    if not ends[0] < 0 < ends[1]:
        raise _wrong(
            'intensity_range', 'without their local mean images lie around 0: give a range such as [-0.25, 0.25].'
        )


def _wrong(option: str, reason: str) -> InputError:
    return InputError(f'{option}: {reason}', option=option)


def _check_choice(option: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise _wrong(option, f"unknown '{value}'. {suggestion(str(value), valid)}")


def _check_range(option: str, value: float, least: float, largest: float) -> None:
    if not is_number(value) or not least <= value <= largest:
        raise _wrong(option, f'{value!r} is not a number of at least {least:g} and at most {largest:g}.')


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether an option is a finite number and not a bool."""
    # math.isfinite would break the graph of a compiled call with symbolic numbers.
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def _check_images(pred: Tensor, target: Tensor) -> None:
    if pred.dim() != 4 or pred.shape != target.shape or pred.numel() == 0:
        shapes = f'{tuple(pred.shape)} and {tuple(target.shape)}'
        raise InputError(f'spatial entropy: images of shapes {shapes}; both must be one non-empty (B, C, H, W).')
    if not (pred.is_floating_point() and target.is_floating_point()):
        raise InputError(f'spatial entropy: images of {pred.dtype} and {target.dtype}; both must be floating-point.')
    if pred.device != target.device:
        raise InputError(f'spatial entropy: images on {pred.device} and {target.device}; both must be on one device.')
