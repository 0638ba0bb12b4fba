"""The differentiable spatial entropy: ``spatial_entropy`` is the function, ``SpatialEntropyLoss`` the module."""

from __future__ import annotations

from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy
from entropy_sde_plugin.losses.spatial_entropy.module import SpatialEntropyLoss

__all__ = ['SpatialEntropyLoss', 'spatial_entropy']
