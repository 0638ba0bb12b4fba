"""LPIPS as a loss."""

from __future__ import annotations

from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.metrics.perceptual import LPIPSNet, lpips_network, too_small

__all__ = ['LPIPSLoss']


class LPIPSLoss(nn.Module):
    """LPIPS, version 0.1 (arXiv 1801.03924, eq. 1): the distance of deep features, the mean over a batch of RGB images.

    The backbone is that of :func:`~entropy_sde_plugin.metrics.perceptual.calculate_lpips`, from torch's cache or
    downloaded. It is fixed.

    Args:
        net: Backbone: ``alex``, ``vgg`` or ``squeeze``; it needs at least 31, 16 or 17 pixels a side.
        loss_weight: Factor.

    Raises:
        MetricUnavailableError: The backbone's weights are not available.
        InputError: Unknown backbone.

    Example:
        >>> import torch
        >>> loss = LPIPSLoss(net='alex', loss_weight=0.1)
        >>> truth = torch.full((1, 3, 64, 64), 0.5)
        >>> estimate = (truth + torch.linspace(-0.4, 0.4, 64)).requires_grad_()
        >>> loss(truth, truth).item(), loss(estimate, truth).item() > 0.01
        (0.0, True)
        >>> loss(estimate, truth).backward()
    """

    def __init__(self, net: LPIPSNet = 'alex', loss_weight: float = 1.0) -> None:
        super().__init__()
        self.net: LPIPSNet = net
        self.loss_weight = loss_weight
        self.network = lpips_network(net).requires_grad_(False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar, of images (B, 3, H, W) in [0, 1].

        Raises:
            InputError: The images are too small for the backbone.
        """
        if fault := too_small(self.net, *pred.shape[-2:]):
            raise InputError(fault)
        return self.loss_weight * self.network(pred, target, normalize=True).mean()
