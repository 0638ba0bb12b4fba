"""Losses, as plain PyTorch modules and functions; they do not need BasicSR."""

from __future__ import annotations

from entropy_sde_plugin.losses.perceptual import LPIPSLoss
from entropy_sde_plugin.losses.spatial_entropy import SpatialEntropyLoss

__all__ = ['LPIPSLoss', 'SpatialEntropyLoss']
