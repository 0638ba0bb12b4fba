"""Networks, registered in BasicSR's ARCH_REGISTRY."""

from entropy_sde_plugin import register

register()  # before a module of this package is half imported

from entropy_sde_plugin.archs.conditional_nafnet_arch import ConditionalNAFNet  # noqa: E402

__all__ = ['ConditionalNAFNet']
