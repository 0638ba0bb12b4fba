"""A NAFNet in strips: the whole image's result in a strip's memory, and faster than the plain network.

The channel attention of a NAFNet uses the mean of a feature over the whole image, which cannot be computed from a
single tile. Here the image passes through the network block by block instead of tile by tile: a first pass over the
strips computes the gated features and their exact mean, a second one finishes the block. Nothing is approximated and
there are no seams. Memory holds the features between two blocks (16 numbers per pixel for the demonstration's network)
and the working set of a strip.

At a fixed time, everything a block does per channel folds into its 1x1 convolutions: norm gain, time scale and shift
into the one after the norm, attention and ``beta`` or ``gamma`` into the one before the addition. With the channels
last, these are matrix products over contiguous rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet
from entropy_sde_plugin.networks.nafnet import Affine, NAFBlock, NAFNet

__all__ = ['NAFNetStrips', 'StripNetwork']

#: Strips of this many pixels squared. On a CPU their working set fits into the caches; a GPU needs fewer launches.
AUTO_TILE_CPU = 128
AUTO_TILE = 1024

Rows = Callable[[int, int], Tensor]
"""(first row, row after the last) -> these rows of the input, (C, H', W), float32."""


class NAFNetStrips:
    """A trained NAFNet for inference; a subclass says what goes in and what is made of the output.

    Args:
        network: In evaluation mode, float32, on the device to compute on. Its weights are read at every call.
        tile: Process about ``tile`` x ``tile`` pixels at a time, as strips over the image's whole width; 0 processes
            the whole image at once, None chooses by the device.
        dtype: Type of features and matrix products; means over the image and the last convolution are float32.
        compile: Fuse the passes with torch.compile; takes a minute once and needs a C++ compiler.

    Raises:
        InputError: A negative tile.
    """

    def __init__(
        self,
        network: NAFNet,
        *,
        tile: int | None = None,
        dtype: torch.dtype = torch.float32,
        compile: bool = False,
    ) -> None:
        if tile is None:
            tile = AUTO_TILE_CPU if network.intro.weight.is_cpu else AUTO_TILE
        if tile < 0:
            raise InputError(f'tile must be 0 (the whole image) or above, got {tile}.')
        self.network = network
        self.tile = tile
        self.dtype = dtype
        self._attention_pass: Callable[..., None] = attention_pass
        self._feed_forward_pass: Callable[..., None] = feed_forward_pass
        if compile:
            # One variant for each number of channels and each position of a strip in the image.
            torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
            self._attention_pass = torch.compile(attention_pass, dynamic=True)
            self._feed_forward_pass = torch.compile(feed_forward_pass, dynamic=True)

    def _image(self, rows: Rows, result: Tensor, *extra: Tensor) -> None:
        """Go through the network for one image; features are (H, W, C).

        Args:
            rows: The input.
            result: Where the output goes, (C, H, W).
            extra: What every block is given beside its features.
        """
        net = self.network
        features = self._intro(rows, result)
        skips = []
        for blocks, down in zip(net.encoders, net.downs, strict=True):
            self._blocks(blocks, features, *extra)
            skips.append(features)
            features = self._down(features, down)
        self._blocks(net.middle_blks, features, *extra)
        for blocks, up in zip(net.decoders, net.ups, strict=True):
            features = self._up(features, up, skips.pop())
            self._blocks(blocks, features, *extra)
        self._ending(features, result)

    def _rows(self, features: Tensor) -> list[tuple[int, int]]:
        """Return the strips of (H, W, C): of each, its first row and the row after its last."""
        height, width, _ = features.shape
        step = height if self.tile == 0 else max(1, self.tile**2 // width)
        return [(top, min(top + step, height)) for top in range(0, height, step)]

    def _intro(self, input_rows: Rows, result: Tensor) -> Tensor:
        conv, multiple = self.network.intro, self.network.size_multiple
        height, width = result.shape[-2:]
        rows, columns = height + -height % multiple, width + -width % multiple
        weight = _kernels_last(conv.weight)
        features = result.new_empty(rows, columns, conv.out_channels, dtype=self.dtype)
        for top, bottom in self._rows(features):
            above, below = max(top - 1, 0), min(bottom + 1, height)
            strip = result.new_zeros(bottom - top + 2, columns + 2, conv.in_channels)
            if above < below:
                inside = strip[above - top + 1 : below - top + 1, 1 : width + 1]
                inside[...] = input_rows(above, below).permute(1, 2, 0)
            features[top:bottom] = _features(F.conv2d(_image(strip), weight, conv.bias))
        return features

    def _blocks(self, blocks: nn.Module, features: Tensor, *extra: Tensor) -> None:
        """Run blocks on the features, in place."""
        # One buffer for all blocks of a level: on a CPU, allocating memory costs as much as the arithmetic.
        gated = torch.empty_like(features)
        for block in blocks.children():
            assert isinstance(block, NAFBlock)
            folded = FoldedBlock.of(block, block.norms_affine(*extra), self.dtype)
            self._block(folded, block.norm_eps, features, gated)

    def _block(self, folded: FoldedBlock, eps: float, features: Tensor, gated: Tensor) -> None:
        total = features.new_zeros(features.shape[2], dtype=torch.float32)
        height, width, _ = features.shape
        rows = self._rows(features)
        for top, bottom in rows:
            above, below = max(top - 1, 0), min(bottom + 1, height)
            strip = gated[top:bottom]
            self._attention_pass(features[above:below], strip, top - above, eps, *folded.attention)
            total += strip.sum((0, 1), dtype=torch.float32)
        mixing = folded.mixing(total / (height * width))
        for top, bottom in rows:
            self._feed_forward_pass(features[top:bottom], gated[top:bottom], eps, *mixing, *folded.feed_forward)

    def _down(self, features: Tensor, conv: nn.Module) -> Tensor:
        weight, bias = (parameter.to(self.dtype) for parameter in _parameters(conv))
        weight = _kernels_last(weight)
        height, width, channels = features.shape
        result = features.new_empty(height // 2, width // 2, 2 * channels)
        for top, bottom in self._rows(result):
            result[top:bottom] = _features(F.conv2d(_image(features[2 * top : 2 * bottom]), weight, bias, 2))
        return result

    def _up(self, features: Tensor, up: nn.Module, skip: Tensor) -> Tensor:
        """Add the upsampled features to the skip connection's, in place."""
        height, width, channels = features.shape
        fine = channels // 2
        # A pixel shuffle's channels are ordered (C, 2, 2); as (2, 2, C) each pixel's four stay contiguous.
        (weight,) = up.parameters()
        weight = weight.view(fine, 4, channels).transpose(0, 1).reshape(4 * fine, channels).to(self.dtype)
        quads = skip.view(height, 2, width, 2, fine)
        for top, bottom in self._rows(features):
            enlarged = F.linear(features[top:bottom], weight).view(bottom - top, width, 2, 2, fine)
            quads[top:bottom] += enlarged.transpose(1, 2)
        return skip

    def _ending(self, features: Tensor, result: Tensor) -> None:
        conv = self.network.ending
        weight = _kernels_last(conv.weight)
        height, width = result.shape[-2:]
        for top, bottom in self._rows(features[:height]):
            above, below = max(top - 1, 0), min(bottom + 1, features.shape[0])
            strip = F.conv2d(_image(features[above:below].float()), weight, conv.bias, padding=1)[0]
            result[:, top:bottom] = strip[:, top - above : bottom - above, :width]


class StripNetwork(NAFNetStrips):
    """A trained network for inference, (x, cond, time) -> prediction as :class:`ConditionalNAFNet`; arguments as of
    :class:`NAFNetStrips`."""

    network: ConditionalNAFNet

    @property
    def takes_brightness(self) -> bool:
        """Whether it has the input ``brightness``."""
        return self.network.takes_brightness

    @torch.inference_mode()
    def __call__(self, x: Tensor, cond: Tensor, time: int, brightness: Tensor | None = None) -> Tensor:
        """Predict from states (B, C, H, W), float32, at one time; see :meth:`ConditionalNAFNet.forward`."""
        result = torch.empty_like(x)
        for i in range(len(x)):  # one by one, so that an image's result does not depend on the batch
            wanted = None if brightness is None else brightness[i : i + 1]
            embedding = self.network.embedding(cond[i : i + 1], time, wanted)
            self._image(_state_and_cond(x[i], cond[i]), result[i], embedding)
        return result


def _state_and_cond(x: Tensor, cond: Tensor) -> Rows:
    """The input of a :class:`ConditionalNAFNet` for one image, (C, H, W) each."""

    def rows(top: int, bottom: int) -> Tensor:
        degraded = cond[:, top:bottom]
        return torch.cat([x[:, top:bottom] - degraded, degraded])

    return rows


def attention_pass(
    features: Tensor,
    gated: Tensor,
    skip: int,
    eps: float,
    expand: Tensor,
    expand_bias: Tensor,
    depthwise: Tensor,
    depthwise_bias: Tensor,
) -> None:
    """First half of a block's attention branch: norm, 1x1, 3x3 depthwise, gate.

    Args:
        features: (H, W, C): the strip, and the row above and below it where the image has one. Outside are zeros.
        gated: Where the strip's gated features go, (H', W, C).
        skip: Rows above the strip, 0 or 1.
        eps: The eps of the norm.
        expand, expand_bias, depthwise, depthwise_bias: See :class:`FoldedBlock`.
    """
    x = F.linear(normalised(features, eps), expand, expand_bias)
    x = _features(F.conv2d(_image(x), depthwise, depthwise_bias, padding=1, groups=len(depthwise)))
    first, second = x[skip : skip + len(gated)].chunk(2, dim=-1)
    torch.mul(first, second, out=gated)


def feed_forward_pass(
    features: Tensor,
    gated: Tensor,
    eps: float,
    mix: Tensor,
    mix_bias: Tensor,
    expand: Tensor,
    expand_bias: Tensor,
    project: Tensor,
    project_bias: Tensor,
) -> None:
    """Second half of the attention branch and the feed-forward branch, added to ``features`` (H, W, C) in place."""
    features += F.linear(gated, mix, mix_bias)
    first, second = F.linear(normalised(features, eps), expand, expand_bias).chunk(2, dim=-1)
    features += F.linear(first * second, project, project_bias)


def normalised(features: Tensor, eps: float) -> Tensor:
    """Layer norm over the channels, without gain and bias."""
    return F.layer_norm(features, features.shape[-1:], eps=eps)


@dataclass(frozen=True)
class FoldedBlock:
    """Weights of a block at one time, as matrices of 1x1 convolutions with all that is per channel folded in.

    Attributes:
        attention: Expansion after the first norm (2C, C), its bias, the depthwise kernels (2C, 1, 3, 3), their bias.
        feed_forward: Expansion after the second norm (2C, C) and its bias, projection (C, C) times gamma and its bias.
        mixing: Mean of the gated features (C,) -> projection (C, C) with the attention and beta, and its bias.
    """

    attention: tuple[Tensor, Tensor, Tensor, Tensor]
    feed_forward: tuple[Tensor, Tensor, Tensor, Tensor]
    mixing: Callable[[Tensor], tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, block: NAFBlock, norms: tuple[Affine, Affine], dtype: torch.dtype) -> FoldedBlock:
        def behind_norm(conv: nn.Module, affine: Affine) -> tuple[Tensor, Tensor]:
            weight, bias = _parameters(conv)
            weight = weight.flatten(1)
            return (weight * affine.gain).to(dtype), (weight @ affine.shift + bias).to(dtype)

        def before_sum(conv: nn.Module, factor: Tensor) -> tuple[Tensor, Tensor]:
            weight, bias = _parameters(conv)
            return weight.flatten(1) * factor.flatten()[:, None], (bias * factor.flatten()).to(dtype)

        weight, bias = before_sum(block.conv3, block.beta)

        def mixing(mean: Tensor) -> tuple[Tensor, Tensor]:
            # The features are means already: the pooling before the attention's convolution changes nothing.
            return (weight * block.sca(mean[None, :, None, None]).flatten()).to(dtype), bias

        project, project_bias = before_sum(block.conv5, block.gamma)
        kernels, kernel_bias = (parameter.to(dtype) for parameter in _parameters(block.conv2))
        depthwise = _kernels_last(kernels), kernel_bias
        return cls(
            (*behind_norm(block.conv1, norms[0]), *depthwise),
            (*behind_norm(block.conv4, norms[1]), project.to(dtype), project_bias),
            mixing,
        )


def _parameters(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that has both."""
    weight, bias = conv.parameters()
    return weight, bias


def _image(features: Tensor) -> Tensor:
    """(H, W, C) -> (1, C, H, W), channels last in memory."""
    return features.permute(2, 0, 1)[None]


def _features(image: Tensor) -> Tensor:
    """(1, C, H, W) -> (H, W, C)."""
    return image[0].permute(1, 2, 0)


def _kernels_last(weight: Tensor) -> Tensor:
    """Kernels in the layout of the features: oneDNN's depthwise convolution is five times faster with it.

    Not ``contiguous``, which leaves depthwise kernels as they are: with one channel they have both layouts.
    """
    return weight.to(memory_format=torch.channels_last)
