"""Losses, as plain PyTorch modules and functions; they do not need BasicSR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entropy_sde_plugin.losses.spatial_entropy import SpatialEntropyLoss

if TYPE_CHECKING:
    from entropy_sde_plugin.losses.perceptual import LPIPSLoss

__all__ = ['LPIPSLoss', 'SpatialEntropyLoss']


def __getattr__(name: str) -> Any:
    """Import LPIPSLoss when it is asked for: with it comes torchvision, and with that PyTorch's compiler, 170 MB."""
    if name == 'LPIPSLoss':
        from entropy_sde_plugin.losses.perceptual import LPIPSLoss

        return LPIPSLoss
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
