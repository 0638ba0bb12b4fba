"""Networks, as plain PyTorch modules."""

from __future__ import annotations

from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet
from entropy_sde_plugin.networks.exposure_nafnet import ExposureNAFNet
from entropy_sde_plugin.networks.exposure_unet import ExposureUNet
from entropy_sde_plugin.networks.lldiffusion import LLDiffusionNet

__all__ = ['ConditionalNAFNet', 'ExposureNAFNet', 'ExposureUNet', 'LLDiffusionNet']
