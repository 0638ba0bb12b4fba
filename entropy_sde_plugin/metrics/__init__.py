"""Metrics in BasicSR's METRIC_REGISTRY: LPIPS, DISTS, FID, and PSNR and SSIM after GT-mean rescaling.

PSNR, SSIM and NIQE are BasicSR's own. With ``crop_border: 0`` and no Y channel its PSNR and SSIM are the paper's
convention (uint8 RGB, Gaussian window of 11, mean over the channels), and so have no twin here.
"""

from __future__ import annotations

from entropy_sde_plugin import register

register()  # before a module of this package is half imported

from entropy_sde_plugin.metrics import fid, gt_mean, perceptual  # noqa: E402

__all__ = ['fid', 'gt_mean', 'perceptual']
