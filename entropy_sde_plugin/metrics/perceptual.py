"""Distances between deep features: LPIPS and DISTS, computed by their authors' packages."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import nn

from entropy_sde_plugin.errors import InputError, MetricUnavailableError, suggestion
from entropy_sde_plugin.metrics.backbones import as_batch, evaluation_device, inference, torchvision_features
from entropy_sde_plugin.metrics.protocol import InputOrder, ignore_better, rgb_pair

__all__ = ['LPIPSNet', 'calculate_dists', 'calculate_lpips', 'check_backbone', 'lpips_network', 'too_small']

LPIPSNet = Literal['alex', 'vgg', 'squeeze']
LPIPS_SMALLEST_SIDE = {'alex': 31, 'vgg': 16, 'squeeze': 17}
"""In pixels, of each backbone; below it, a pooling layer would have no output."""


@ignore_better
def calculate_lpips(
    img: NDArray[Any],
    img2: NDArray[Any],
    crop_border: int = 0,
    input_order: InputOrder = 'HWC',
    net: LPIPSNet = 'alex',
) -> float:
    """LPIPS, version 0.1 (Zhang et al., CVPR 2018, eq. 1). Lower is better; the paper's tables use ``alex``.

    Protocol: RGB in [-1, 1], the whole image less ``crop_border``, nothing resized, torchvision's ImageNet weights
    under the linear heads of the lpips package, float32.
    Oracle in the tests: eq. 1 written out in float64 over the same weights.

    Args:
        img: Result: BGR, uint8, shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.
        net: Backbone: ``alex``, ``vgg`` or ``squeeze``.

    Returns:
        A distance, 0 for equal images.

    Raises:
        MetricUnavailableError: The backbone's weights are not available, or the image is too small for it.
        InputError: Unknown backbone, or the images differ in shape.
    """
    check_backbone(net)
    first, second = rgb_pair(img, img2, crop_border, input_order)
    if fault := too_small(net, *first.shape[:2]):
        raise MetricUnavailableError(fault)
    with inference():
        return _lpips(net, evaluation_device())(as_batch(first), as_batch(second), normalize=True).item()


@ignore_better
def calculate_dists(
    img: NDArray[Any], img2: NDArray[Any], crop_border: int = 0, input_order: InputOrder = 'HWC'
) -> float:
    """DISTS (Ding et al., TPAMI 2020, eq. 9). Lower is better.

    Protocol: RGB in [0, 1], the whole image less ``crop_border``, not resized to 256 pixels as its authors do for
    their data sets, torchvision's ImageNet VGG16 under the weights of the dists-pytorch package, float32.
    Oracle in the tests: eq. 6-9 written out in float64 over the same weights.

    Args:
        img: Result: BGR, uint8, shape (H, W, 3), or (3, H, W) with ``input_order`` CHW.
        img2: Ground truth, likewise.
        crop_border: Pixels to leave out at each side.
        input_order: HWC or CHW.

    Returns:
        A distance from 0, for equal images, to 1.

    Raises:
        MetricUnavailableError: The weights of VGG16 are not available.
        InputError: The images differ in shape.
    """
    first, second = rgb_pair(img, img2, crop_border, input_order)
    with inference():
        return _dists(evaluation_device())(as_batch(first), as_batch(second)).item()


def check_backbone(net: str) -> None:
    """Raise an InputError unless LPIPS has the backbone."""
    if net not in LPIPS_SMALLEST_SIDE:
        raise InputError(f"net: LPIPS has no backbone '{net}'. {suggestion(net, LPIPS_SMALLEST_SIDE)}", option='net')


def too_small(net: LPIPSNet, height: int, width: int) -> str:
    """Return why images are too small for a backbone of LPIPS; '' if they are not."""
    side = LPIPS_SMALLEST_SIDE[net]
    if min(height, width) >= side:
        return ''
    return f'LPIPS ({net}) needs images of at least {side}x{side} pixels, not {width}x{height}.'


# The packages are imported when a metric is used, since every start of BasicSR imports this module.
def lpips_network(net: LPIPSNet) -> nn.Module:
    """Return LPIPS as a network on the CPU: (B, 3, H, W), (B, 3, H, W) -> (B, 1, 1, 1), in [-1, 1], or with
    ``normalize=True`` in [0, 1].

    Raises:
        MetricUnavailableError: The backbone's weights are not available.
        InputError: Unknown backbone.
    """
    import lpips

    check_backbone(net)
    with torch.device('cpu'), torchvision_features(lpips.pretrained_networks, 'tv'):
        return lpips.LPIPS(net=net, verbose=False)


@functools.cache
def _lpips(net: LPIPSNet, device: torch.device) -> nn.Module:
    return lpips_network(net).to(device)


@functools.cache
def _dists(device: torch.device) -> nn.Module:
    from DISTS_pytorch import DISTS_pt

    with torchvision_features(DISTS_pt, 'models'):
        # The package looks for its weights in sys.prefix, where some installations do not put them.
        network = DISTS_pt.DISTS(load_weights=False)
    weights = torch.load(str(files('DISTS_pytorch') / 'weights.pt'), map_location='cpu', weights_only=True)
    network.load_state_dict(weights, strict=False)
    return network.to(device).eval()
