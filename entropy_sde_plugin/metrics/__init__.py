"""Metrics: LPIPS, DISTS, FID, PSNR and SSIM after GT-mean rescaling, of raw planes, and of LLDiffusion's release.

PSNR, SSIM and NIQE are BasicSR's own. With ``crop_border: 0`` and no Y channel its PSNR and SSIM follow the paper's
convention (uint8 RGB, Gaussian window of 11, mean over the channels), so this package does not repeat them.
"""

from __future__ import annotations

from entropy_sde_plugin.metrics.fid import calculate_fid
from entropy_sde_plugin.metrics.gt_mean import calculate_psnr_gtmean, calculate_ssim_gtmean
from entropy_sde_plugin.metrics.lldiffusion import calculate_psnr_lldiffusion, calculate_ssim_lldiffusion
from entropy_sde_plugin.metrics.perceptual import calculate_dists, calculate_lpips
from entropy_sde_plugin.metrics.raw import calculate_psnr_raw, calculate_ssim_raw

__all__ = [
    'calculate_dists',
    'calculate_fid',
    'calculate_lpips',
    'calculate_psnr_gtmean',
    'calculate_psnr_lldiffusion',
    'calculate_psnr_raw',
    'calculate_ssim_gtmean',
    'calculate_ssim_lldiffusion',
    'calculate_ssim_raw',
]
