"""Highlights: lamps, windows and skies that are bright in a dark image keep their shape and colour in the result.

A model trained on evenly dark images brightens everything, and so turns white what was bright before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from entropy_sde_plugin.utils.luma import luma

__all__ = ['keep_highlights', 'lit']

_LIT = 0.4, 0.7
"""Luma of the dark image between which a pixel passes from dark to lit."""
_WHITE = 0.7, 0.9
"""Luma of the result between which it gives way to the dark image."""
_WHITEST = 1 - 1e-6
"""The logarithm of white is 0, by which nothing can be divided."""


def lit(images: Tensor) -> Tensor:
    """Return how far each pixel of the dark images is lit already: 0 where it is dark, 1 where it is bright.

    Args:
        images: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 1, H, W) in [0, 1].

    Example:
        >>> lit(torch.tensor([0.1, 0.55, 0.8]).expand(1, 3, 1, 3)).flatten().round(decimals=3)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return _rise(luma(images), *_LIT)


def keep_highlights(results: Tensor, images: Tensor) -> Tensor:
    """Take what is bright in image and result from the image; a power law of the luma makes it meet the rest smoothly.

    The exponent of an image is the one that maps its pixels between dark and lit onto the result's, at most onto
    :data:`_WHITE`'s upper end, so that levels above them stay apart. Colours keep their hue; where a channel would
    exceed 1, they become paler. Images without a lit pixel stay exactly as they are.

    Args:
        results: The model's results, (B, 3, H, W) in [0, 1].
        images: The dark images, likewise.

    Returns:
        (B, 3, H, W) in [0, 1].

    Example:
        >>> street = torch.tensor([0.1, 0.5, 0.7, 0.9]).expand(1, 3, 1, 4)
        >>> keep_highlights((6 * street).clamp(max=1), street)[0, 0].round(decimals=2)
        tensor([[0.6000, 0.9700, 0.9500, 0.9800]])
    """
    before, after = luma(images), luma(results)
    share = lit(images) * _rise(after, *_WHITE)
    transition = share * (1 - share)
    low, high = (((transition * level).sum((1, 2, 3)) / transition.sum((1, 2, 3))) for level in (before, after))
    bright = high.clamp(max=_WHITE[1]).log() / low.clamp(max=_WHITEST).log()
    gamma = bright.clamp(max=1).nan_to_num(1)  # nan: no pixel lies between
    level = before ** gamma[:, None, None, None]
    kept = _in_gamut(images * (level / before.clamp(min=1e-6)), level)
    return torch.lerp(results, kept, share)


def _rise(values: Tensor, low: float, high: float) -> Tensor:
    """From 0 at ``low`` to 1 at ``high``, smooth at both ends."""
    part = ((values - low) / (high - low)).clamp(0, 1)
    return part * part * (3 - 2 * part)


def _in_gamut(colours: Tensor, level: Tensor) -> Tensor:
    """Move colours towards the gray of their luma until no channel exceeds 1."""
    excess = colours.amax(1, keepdim=True) - level
    room = ((1 - level) / excess.clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(level, colours, room)
