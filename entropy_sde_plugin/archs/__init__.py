"""Networks, registered in BasicSR's ARCH_REGISTRY."""

from entropy_sde_plugin.archs.conditional_nafnet_arch import ConditionalNAFNet

__all__ = ['ConditionalNAFNet']
