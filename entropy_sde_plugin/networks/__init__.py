"""Networks as PyTorch modules, without BasicSR: :mod:`entropy_sde_plugin.archs` registers them there."""

from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet

__all__ = ['ConditionalNAFNet']
