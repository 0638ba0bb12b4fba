"""LLDiffusion's latent map encoder: what the degradation network and the denoiser both know of a dark image.

Module names follow the released network, so that its checkpoints load strictly.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ['MAP_WIDTHS', 'LatentMapEncoder', 'SpectralConv2d']

MAP_WIDTHS = (32, 32, 16, 16, 8, 8)
"""Channels of the maps, in multiples of the encoder's width; their sides are 1/16, 1/8, 1/4, 1/2, 1 and 1 of the
image's."""

REACH = 2
"""The maps of a part depend on the trunk's output this many pixels beyond its border. At each stage pixel p needs p + 1
of the doubled image, which is (p + 1) / 2, rounded up, of the image before: 1 pixel beyond the border, then 2, and no
more."""

SLOPE = 0.2


class SpectralConv2d(nn.Conv2d):
    """A convolution whose kernels, as a matrix (out, rest), are divided by their largest singular value sigma
    (arXiv 1802.05957).

    sigma = u' W v, where u and v take one power iteration in every forward pass of a training and none in evaluation;
    no gradient passes through them. Parameters and buffers have the names that ``torch.nn.utils.spectral_norm`` gives
    them. That hook itself is not used: it leaves a tensor in the module that can neither be copied nor exported.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, padding: int = 0, bias: bool) -> None:
        super().__init__(in_channels, out_channels, 3, stride=stride, padding=padding, bias=bias)
        matrix = self.weight.flatten(1)
        self.weight_orig = nn.Parameter(self.weight.detach())
        del self.weight
        for name, length in zip(('weight_u', 'weight_v'), matrix.shape, strict=True):
            self.register_buffer(name, _unit(torch.randn(length)))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight_orig / self._sigma()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)  # pyright: ignore[reportArgumentType]

    def _sigma(self) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        if not self.training:
            return self.weight_u @ (matrix @ self.weight_v)
        with torch.no_grad():
            self.weight_v.copy_(_unit(matrix.T @ self.weight_u))
            self.weight_u.copy_(_unit(matrix @ self.weight_v))
        # The next forward pass changes the buffers; this one's gradient needs their values of now.
        return self.weight_u.clone() @ (matrix @ self.weight_v.clone())


def _unit(vector: Tensor) -> Tensor:
    return F.normalize(vector, dim=0, eps=1e-12)


class LatentMapEncoder(nn.Module):
    """Maps of a dark image at up to six scales, from the coarsest on.

    Args:
        width: Channels of the first layer; released: 16.
        maps: How many maps, 1…6.
    """

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.encoder = Trunk(width)
        self.upsample = Expansion([32 * width, *(width * factor for factor in MAP_WIDTHS[:maps])])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 32 and at least 64.

        Returns:
            The maps: see :data:`MAP_WIDTHS`.
        """
        return self.upsample(self.encoder(image))

    def maps_of_part(self, trunk: Tensor, top: int, left: int, height: int, width: int) -> tuple[Tensor, ...]:
        """Return the maps of a part of images, the same as in the maps of the whole.

        Args:
            trunk: What :class:`Trunk` makes of the whole images, (B, 32 width, H/32, W/32).
            top, left, height, width: The part, in multiples of 32 pixels.

        Returns:
            The maps, as :meth:`forward` returns them of the part.
        """
        first_row, first_column = max(top - REACH, 0), max(left - REACH, 0)
        rows = slice(first_row, top + height + REACH)
        columns = slice(first_column, left + width + REACH)
        around = self.upsample(trunk[..., rows, columns])
        scales = (2, 4, 8, 16, 32, 32)
        return tuple(
            each.narrow(2, (top - first_row) * scale, height * scale)
            .narrow(3, (left - first_column) * scale, width * scale)
            .contiguous()
            for each, scale in zip(around, scales, strict=False)
        )


class Trunk(nn.Module):
    """The image at 1/32 of its height and width, (B, 3, H, W) -> (B, 32 width, H/32, W/32)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer1 = _normalised(3, width, stride=2, padding=1)
        self.layer2 = _normalised(width, 2 * width, stride=2, padding=1)
        self.layer3 = _normalised(2 * width, 4 * width, stride=2, padding=1)
        self.layer4 = _normalised(4 * width, 8 * width, stride=2, padding=1)
        self.layer5 = _normalised(8 * width, 16 * width, stride=2, padding=1)
        self.res_0 = EncoderBlock(16 * width)
        self.res_1 = EncoderBlock(16 * width)
        self.res_2 = EncoderBlock(16 * width)
        widths = (16 * width, 32 * width, 32 * width, 32 * width)
        layers = (
            (nn.ReflectionPad2d(1), _normalised(before, after), nn.LeakyReLU(SLOPE))
            for before, after in pairwise(widths)
        )
        self.out = nn.Sequential(*(module for layer in layers for module in layer))
        self.conv_7x7 = nn.Conv2d(width, width, 7)

    def forward(self, image: Tensor) -> Tensor:
        x = F.leaky_relu(self.layer1(image), SLOPE)
        x = F.leaky_relu(self.conv_7x7(F.pad(x, (3, 3, 3, 3), mode='reflect')), SLOPE)
        for layer in (self.layer2, self.layer3, self.layer4):
            x = F.leaky_relu(layer(x), SLOPE)
        x = self.layer5(x)
        return self.out(self.res_2(self.res_1(self.res_0(x))))


class EncoderBlock(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.LeakyReLU(SLOPE),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.conv_block(x), SLOPE)


class Expansion(nn.Module):
    """From the trunk's output up to the image's size, one map at each stage.

    Args:
        widths: Channels of the input, then of each map.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(
                # Five stages double the sides; the sixth is at the image's size already.
                Doubling(before) if stage < 5 else nn.Identity(),
                nn.ReflectionPad2d(1),
                SpectralConv2d(before, after, bias=True),
                nn.LeakyReLU(SLOPE),
            )
            for stage, (before, after) in enumerate(pairwise(widths))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = []
        for stage in self.convs:
            x = stage(x)
            maps.append(x)
        return tuple(maps)


class Doubling(nn.Module):
    """Doubles height and width by a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.module = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def _normalised(before: int, after: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    convolution = SpectralConv2d(before, after, stride=stride, padding=padding, bias=False)
    return nn.Sequential(convolution, nn.InstanceNorm2d(after, eps=1e-5))
