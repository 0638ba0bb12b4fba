"""The networks in BasicSR's ARCH_REGISTRY."""

from entropy_sde_plugin import register

register()  # before a module of this package is half imported

from entropy_sde_plugin.archs import conditional_nafnet_arch as conditional_nafnet_arch  # noqa: E402
