"""Restoring a batch of images: from the dark images to the finished results."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from entropy_sde_plugin.diffusion import GaussianProcess
from entropy_sde_plugin.diffusion.brightness import (
    Brightness,
    automatic_brightness,
    match_brightness,
    wanted_brightness,
)
from entropy_sde_plugin.diffusion.highlights import keep_highlights, lit
from entropy_sde_plugin.diffusion.process import TimeGrid
from entropy_sde_plugin.diffusion.samplers import Callback, Denoiser, Noise
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.brightness import with_brightness
from entropy_sde_plugin.options.diffusion import SamplerOptions
from entropy_sde_plugin.utils.luma import mean_luma

__all__ = ['check_finite', 'restore']


def check_finite(results: Tensor) -> None:
    """Reject results that are no image: they would be saved, and scored, as black.

    Args:
        results: Of any shape.

    Raises:
        InputError: They hold a NaN or an infinity.
    """
    if not results.isfinite().all():
        raise InputError(
            'The restored image has values that are not finite (NaN or infinity): the weights are of no use, as those '
            'of a training that diverged, or the precision is too low for them.'
        )


def restore(
    network: Callable[..., Tensor],
    images: Tensor,
    *,
    denoiser_of: Callable[[Callable[..., Tensor]], Denoiser],
    process: GaussianProcess,
    sampler: SamplerOptions,
    times: TimeGrid,
    noise: Noise,
    truth: Tensor | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Sample bright images, bring them to the wanted brightness, and mix them with the input by ``strength``.

    Args:
        network: (x_t, cond, t) -> prediction; one that takes the wanted brightness receives it.
        images: The dark images, (B, C, H, W) in [0, 1].
        denoiser_of: Makes the sampler's denoiser of the network.
        process: The diffusion process.
        sampler: The sampler, and the brightness and strength of the results.
        times: The sampler's time grid.
        noise: Source of the sampler's noise.
        truth: The ground truth, shaped as ``images``, for the brightness ``'truth'``.
        callback: Called after each network call.

    Returns:
        The results, shaped as ``images``, in [0, 1].

    Raises:
        InputError: The brightness is ``'truth'``, and there is no ground truth; or what was sampled is not finite.

    Example:
        >>> from entropy_sde_plugin.diffusion import IRSDE
        >>> from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
        >>> from entropy_sde_plugin.diffusion.samplers import standard_normal
        >>> process, dark = IRSDE(), torch.full((1, 3, 4, 4), 0.125)
        >>> bright = restore(
        ...     lambda x, cond, t: torch.full_like(x, 0.5),
        ...     dark,
        ...     denoiser_of=lambda network: NetworkDenoiser(network, process, 'x0'),
        ...     process=process,
        ...     sampler=SamplerOptions(strength=0.5),
        ...     times=process.time_grid(4),
        ...     noise=standard_normal(torch.Generator().manual_seed(0)),
        ... )
        >>> bright.unique()
        tensor([0.3750])
    """
    wanted = wanted_brightness(sampler.brightness, images, truth)
    denoiser = denoiser_of(with_brightness(network, wanted))
    cond = process.from_unit(images)
    sampled = sampler.build()(denoiser, process, cond, times, noise=noise, callback=callback)
    results = process.to_unit(sampled)
    check_finite(results)
    return torch.lerp(images, _finished(results, images, wanted, sampler.brightness), sampler.strength)


def _finished(results: Tensor, images: Tensor, wanted: Tensor, brightness: Brightness) -> Tensor:
    """Keep the highlights and bring the results to the wanted brightness, unless the model's are wanted as they are."""
    if brightness == 'model':
        return results
    if brightness == 'keep':  # only the noise goes, in the highlights too
        return match_brightness(results, wanted)
    results = keep_highlights(results, images)
    if brightness != 'auto':
        return match_brightness(results, wanted)
    dark = 1 - lit(images)
    wanted = automatic_brightness(mean_luma(results, dark), mean_luma(images, dark), dark.mean((1, 2, 3)))
    return match_brightness(results, wanted, dark)
