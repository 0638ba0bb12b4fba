"""Networks, as plain PyTorch modules."""

from __future__ import annotations

from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet

__all__ = ['ConditionalNAFNet']
