"""The classes and functions that BasicSR's registries get from this package; nothing else registers any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from entropy_sde_plugin.options.arguments import Kind, registry_of

__all__ = ['register_all', 'registered']


def registered() -> dict[Kind, tuple[Callable[..., Any], ...]]:
    """The classes and functions of this package, by the kind of BasicSR's registry.

    They are imported here and not at the top: models import BasicSR, and importing BasicSR imports this module.
    """
    from entropy_sde_plugin.data import datasets
    from entropy_sde_plugin.losses import LPIPSLoss, SpatialEntropyLoss
    from entropy_sde_plugin.metrics import fid, gt_mean, lldiffusion, perceptual, raw
    from entropy_sde_plugin.models.exposure import ExposureDiffusionModel
    from entropy_sde_plugin.models.irsde import IRSDEModel
    from entropy_sde_plugin.models.lldiffusion import LLDiffusionModel
    from entropy_sde_plugin.networks import ConditionalNAFNet, ExposureNAFNet, ExposureUNet, LLDiffusionNet

    return {
        'arch': (ConditionalNAFNet, ExposureNAFNet, ExposureUNet, LLDiffusionNet),
        'dataset': (
            datasets.ELDDataset,
            datasets.LOLDataset,
            datasets.NTIRELowLightDataset,
            datasets.PairedLowLightDataset,
            datasets.RawPairDataset,
            datasets.SIDDataset,
            datasets.SyntheticLowLightDataset,
            datasets.SyntheticRawDataset,
        ),
        'loss': (LPIPSLoss, SpatialEntropyLoss),
        'metric': (
            perceptual.calculate_lpips,
            perceptual.calculate_dists,
            fid.calculate_fid,
            gt_mean.calculate_psnr_gtmean,
            gt_mean.calculate_ssim_gtmean,
            lldiffusion.calculate_psnr_lldiffusion,
            lldiffusion.calculate_ssim_lldiffusion,
            raw.calculate_psnr_raw,
            raw.calculate_ssim_raw,
        ),
        'model': (ExposureDiffusionModel, IRSDEModel, LLDiffusionModel),
    }


def register_all() -> None:
    """Add every class and function of :func:`registered` to its registry, under its own name. Idempotent."""
    for kind, entries in registered().items():
        registry = registry_of(kind)
        for entry in entries:
            if entry.__name__ not in registry:
                registry.register(entry)
