"""LLDiffusionNet: the denoiser, the degradation network and the encoder of LLDiffusion (arXiv 2307.14659)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError, quoted, suggestion
from entropy_sde_plugin.networks.lldiffusion_blocks import GROUPS
from entropy_sde_plugin.networks.lldiffusion_encoder import MAP_WIDTHS, LatentMapEncoder
from entropy_sde_plugin.networks.lldiffusion_unet import LEVELS, FuseMode, UNet
from entropy_sde_plugin.networks.padding import reflect_to
from entropy_sde_plugin.networks.state_dicts import MOST_BLOCKS, check_fit, size_of

__all__ = ['Features', 'LLDiffusionNet', 'color_map', 'lldiffusion_options', 'padded']

MULTIPLE = 32
"""The sides of an image are padded to a multiple of this …"""
SMALLEST = 64
"""… and to this at least: the encoder reflects images at 1/32 of their size."""


@dataclass(frozen=True)
class Features:
    """What the network computes once of a dark image, whatever the state and the time.

    Attributes:
        maps: The encoder's maps (:data:`.lldiffusion_encoder.MAP_WIDTHS`) of the padded image.
        color_map: (B, 3, H, W), as the padded image.
    """

    maps: tuple[Tensor, ...]
    color_map: Tensor


def color_map(cond: Tensor) -> Tensor:
    """Return each channel's share in a pixel's sum: the colours without the light.

    Args:
        cond: Dark images in [-1, 1], (B, 3, H, W).

    Returns:
        Shares mapped to [-1, 1], shaped as ``cond``: about -1/3 for grey, -1 for black.

    Example:
        >>> color_map(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)).flatten().round(decimals=2).tolist()
        [1.0, -1.0, -1.0]
    """
    unit = (cond + 1) / 2
    return (unit / (unit.sum(1, keepdim=True) + 1e-4)).clamp(0, 1) * 2 - 1


class LLDiffusionNet(nn.Module):
    """Noise predictor that knows how an image was darkened. It shares an encoder with a second U-Net, the degradation
    network, which learns to darken the bright image.

    The defaults are the released network for LOL (60,633,388 parameters); that for LOL-v2 has ``ch=128,
    num_res_blocks=4, fuse_mode='cat', num_deg_fusion=6, deg_ch=128`` (384,492,742 parameters). Names of modules follow
    the released network, so that its checkpoints load strictly. All images are RGB in [-1, 1], of any size: sides are
    padded by reflection to a multiple of 32, and to 64 at least.

    As released, the middle blocks do not get the time, and with ``fuse_mode='cattn'`` some channel attentions are not
    used: their parameters get no gradient.

    Args:
        ch: Width of the denoiser, a multiple of 32.
        ch_mult: Channels of its six levels, and of the degradation network's, from the finest, in multiples of the
            width.
        num_res_blocks: Blocks of each level on the way down, 1…1000; one more on the way up.
        fuse_mode: How the U-Nets merge in the encoder's maps: ``'cat'`` (concatenation) or ``'cattn'`` (with channel
            attention after it).
        num_deg_fusion: How many maps, 1…6, from the coarsest.
        deg_ch: Width of the degradation network, a multiple of 32.
        enc_ch: Width of the encoder; released: 16.

    Raises:
        InputError: A size that makes no network.

    Example:
        >>> network = LLDiffusionNet(ch=32, ch_mult=[1, 1, 1, 1, 1, 1], num_res_blocks=1, enc_ch=2).eval()
        >>> dark, noise = torch.full((1, 3, 40, 70), -0.8), torch.randn(1, 3, 40, 70)
        >>> features = network.features(dark)  # the same at every time
        >>> tuple(network(noise, dark, 999, features=features).shape)
        (1, 3, 40, 70)
    """

    def __init__(
        self,
        ch: int = 64,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        fuse_mode: FuseMode = 'cattn',
        num_deg_fusion: int = 3,
        deg_ch: int = 32,
        enc_ch: int = 16,
    ) -> None:
        super().__init__()
        _check_sizes(ch=ch, deg_ch=deg_ch, ch_mult=ch_mult, num_res_blocks=num_res_blocks)
        _check_fusion(fuse_mode=fuse_mode, num_deg_fusion=num_deg_fusion, enc_ch=enc_ch)
        shared: dict[str, Any] = {
            'ch_mult': ch_mult,
            'num_res_blocks': num_res_blocks,
            'fuse_mode': fuse_mode,
            'map_widths': [enc_ch * width for width in MAP_WIDTHS[:num_deg_fusion]],
            'unused_width': 32 * enc_ch,
        }
        self.encoder = LatentMapEncoder(enc_ch, num_deg_fusion)
        self.deg_unet = UNet(3, ch=deg_ch, timed=False, **shared)
        self.diff_unet = UNet(9, ch=ch, timed=True, **shared)
        self._levels_with_maps = range(1, min(num_deg_fusion, LEVELS - 1) + 1)

    def features(self, cond: Tensor) -> Features:
        """Return what the network knows of dark images alone; many sampling steps, and both U-Nets, share it.

        In training mode every call moves the encoder's spectral norms on by one power iteration.

        Args:
            cond: (B, 3, H, W).
        """
        cond = padded(cond)
        return Features(self.encoder(cond), color_map(cond))

    def forward(self, x: Tensor, cond: Tensor, time: int | float | Tensor, features: Features | None = None) -> Tensor:
        """Predict from a state.

        Args:
            x: Noisy states x_t, (B, 3, H, W).
            cond: Dark images, shaped as x.
            time: Raw time t, 0…999: a number, or a tensor of B values or of one.
            features: The features of ``cond``, if they are known already.

        Returns:
            The prediction (noise, or as trained), shaped as x.
        """
        height, width = x.shape[-2:]
        known = self.features(cond) if features is None else features
        state = torch.cat([padded(x), padded(cond), known.color_map], dim=1)
        times = torch.as_tensor(time, device=x.device).reshape(-1)
        return self.diff_unet(state, known.maps, times)[..., :height, :width]

    def degrade(self, high: Tensor, cond: Tensor, features: Features | None = None) -> Tensor:
        """Darken bright images as ``cond`` was darkened: the degradation network.

        Args:
            high: Bright images, (B, 3, H, W).
            cond: The dark images of the same scenes, shaped as ``high``.
            features: The features of ``cond``, if they are known already.

        Returns:
            Dark images, shaped as ``high``, not clamped.
        """
        height, width = high.shape[-2:]
        known = self.features(cond) if features is None else features
        return self.deg_unet(padded(high), known.maps)[..., :height, :width]

    @property
    def unused(self) -> frozenset[str]:
        """Names of the parameters that no output depends on; they get no gradient."""
        asked = ''.join(map(str, self._levels_with_maps))
        pattern = rf'diff_unet\.mid\.block_\d\.temb_proj|\w+\.fuse|\w+\.up\.fuse\.cattns\.[^{asked}]\.'
        return frozenset(name for name, _ in self.named_parameters() if re.match(pattern, name))


def padded(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) at a size that the network takes, continued by reflection."""
    # Not with a division rounded up, -(-side // 32): ONNX rounds integer quotients towards zero.
    height, width = (max(side + -side % MULTIPLE, SMALLEST) for side in images.shape[-2:])
    return reflect_to(images, height, width)


def _check_sizes(ch: int, deg_ch: int, ch_mult: Sequence[int], num_res_blocks: int) -> None:
    for name, width in (('ch', ch), ('deg_ch', deg_ch)):
        if not _is_multiple(width, GROUPS):
            groups = f'{GROUPS} (the groups of its norms)'
            message = f'{name} must be a positive whole multiple of {groups}, got {quoted(width)}.'
            raise InputError(message, option=name)
    counts = ch_mult if isinstance(ch_mult, (list, tuple)) else []
    if len(counts) != LEVELS or not all(_is_multiple(factor, 1) for factor in counts):
        message = f'ch_mult must hold {LEVELS} whole numbers from 1 on, one for each level, got {quoted(ch_mult)}.'
        raise InputError(message, option='ch_mult')
    if not _is_multiple(num_res_blocks, 1) or num_res_blocks > MOST_BLOCKS:
        message = f'num_res_blocks must be a whole number in 1…{MOST_BLOCKS}, got {quoted(num_res_blocks)}.'
        raise InputError(message, option='num_res_blocks')


def _check_fusion(fuse_mode: str, num_deg_fusion: int, enc_ch: int) -> None:
    if fuse_mode not in get_args(FuseMode):
        message = f'fuse_mode: there is no {quoted(fuse_mode)}. {suggestion(str(fuse_mode), get_args(FuseMode))}'
        raise InputError(message, option='fuse_mode')
    if not _is_multiple(num_deg_fusion, 1) or num_deg_fusion > len(MAP_WIDTHS):
        message = f'num_deg_fusion must be a whole number in 1…{len(MAP_WIDTHS)}, got {quoted(num_deg_fusion)}.'
        raise InputError(message, option='num_deg_fusion')
    multiple = GROUPS // min(MAP_WIDTHS[:num_deg_fusion])
    if not _is_multiple(enc_ch, multiple):
        message = (
            f'enc_ch must be a positive whole multiple of {multiple} where num_deg_fusion is {num_deg_fusion} (the '
            f'U-Nets norm its maps in {GROUPS} groups), got {quoted(enc_ch)}.'
        )
        raise InputError(message, option='enc_ch')


def _is_multiple(value: object, factor: int) -> bool:
    """Whether it is a whole number above 0 that ``factor`` divides."""
    return isinstance(value, int) and value >= 1 and value % factor == 0


def lldiffusion_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of a LLDiffusionNet off its weights.

    Args:
        state: State dict of a network of any size.

    Returns:
        Keyword arguments of :class:`LLDiffusionNet`.

    Raises:
        InputError: The weights are those of another network.
    """

    def width(key: str) -> int:
        return size_of(state, key, 'LLDiffusionNet')[0]

    def count(pattern: str) -> int:
        return len({match[1] for key in state if (match := re.match(pattern, key))})

    ch = width('diff_unet.conv_in.weight')
    options = {
        'ch': ch,
        'ch_mult': [width(f'diff_unet.down.{level}.block.0.conv1.weight') // max(ch, 1) for level in range(LEVELS)],
        'num_res_blocks': count(r'diff_unet\.down\.0\.block\.(\d+)\.'),
        'fuse_mode': 'cattn' if any(key.startswith('diff_unet.up.fuse.') for key in state) else 'cat',
        'num_deg_fusion': count(r'encoder\.upsample\.convs\.(\d+)\.'),
        'deg_ch': width('deg_unet.conv_in.weight'),
        'enc_ch': width('encoder.encoder.layer1.0.weight_orig'),
    }
    check_fit(LLDiffusionNet, options, state)
    return options
