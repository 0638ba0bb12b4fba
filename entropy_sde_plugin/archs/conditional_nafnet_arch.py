"""ConditionalNAFNet, by which name option files know it."""

from basicsr.utils.registry import ARCH_REGISTRY

from entropy_sde_plugin.networks import ConditionalNAFNet

ARCH_REGISTRY.register(ConditionalNAFNet)
