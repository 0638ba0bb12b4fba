"""What the package knows of each network architecture: how its weights are recognised, rebuilt and run.

Checkpoints, inference and export ask an entry here and name no network themselves. A new network is added with one
entry in :data:`ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.conditional_nafnet import ConditionalNAFNet, network_options
from entropy_sde_plugin.networks.exposure import RAW_PLANES
from entropy_sde_plugin.networks.exposure_inference import ExposureStrips, ExposureTiles
from entropy_sde_plugin.networks.exposure_nafnet import ExposureNAFNet, nafnet_options
from entropy_sde_plugin.networks.exposure_unet import ExposureUNet, unet_options
from entropy_sde_plugin.networks.lldiffusion import LLDiffusionNet, lldiffusion_options
from entropy_sde_plugin.networks.lldiffusion_inference import Patches, WholeOrTiles
from entropy_sde_plugin.networks.nafnet_strips import StripNetwork

__all__ = [
    'ARCHITECTURES',
    'Architecture',
    'InferenceNetwork',
    'RawInferenceNetwork',
    'architecture_of',
    'architecture_of_network',
    'find_architecture',
]


class InferenceNetwork(Protocol):
    """A network prepared for inference on images of any size: (x, cond, time) -> prediction.

    Attributes:
        tile: Side in pixels, roughly, of the squares that the network works on; 0 for the whole image. It decides
            memory and speed and, for some networks, the result. It may be lowered between two calls if memory runs out.
    """

    tile: int

    def __call__(self, x: Tensor, cond: Tensor, time: int) -> Tensor: ...


class RawInferenceNetwork(Protocol):
    """A network of raw images prepared for inference: planes -> (picture, None), of any size that the network takes.

    Attributes:
        tile: As in :class:`InferenceNetwork`, on planes; it does not change the result.
    """

    tile: int

    def __call__(self, planes: Tensor) -> tuple[Tensor, None]: ...


@dataclass(frozen=True)
class Architecture:
    """One network architecture.

    Attributes:
        network: The class.
        system: The diffusion system that its released weights belong to, for files that do not say.
        marks: Keys that its state dicts have; the architecture that shares the most with a state dict is taken.
        options: Reads the network's keyword arguments off a state dict. Raises ``InputError`` where it does not fit.
        channels: Number of image channels of a network.
        for_inference: Prepares a network for images of any size, from (network, ``tile``, ``dtype``, ``compile``); a
            tile of None is what suits the network. None for a network of raw images.
        patches: The same with ``stride``, for networks that also restore images patch by patch.
        for_raw_inference: As ``for_inference``, of a network of raw images; None for others.
    """

    network: type[nn.Module]
    system: str
    marks: frozenset[str]
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    channels: Callable[[Any], int]
    for_inference: Callable[..., InferenceNetwork] | None = None
    patches: Callable[..., InferenceNetwork] | None = None
    for_raw_inference: Callable[..., RawInferenceNetwork] | None = None

    @property
    def name(self) -> str:
        """The name of the class, as option files know it."""
        return self.network.__name__

    def build(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Return the network of a state dict, in evaluation mode, with these weights in float32.

        Raises:
            InputError: The weights are not those of one network of this architecture.
        """
        network = self.network(**self.options(state)).float()  # whatever the default dtype is
        network.load_state_dict(dict(state))
        return network.eval()


ARCHITECTURES: list[Architecture] = [
    Architecture(
        network=ConditionalNAFNet,
        system='irsde',
        marks=frozenset({'intro.weight', 'ending.weight', 'time_mlp.1.weight'}),
        options=network_options,
        channels=lambda network: network.ending.out_channels,
        for_inference=StripNetwork,
    ),
    Architecture(
        network=ExposureUNet,
        system='exposurediffusion',
        marks=frozenset({'conv1_1.weight', 'upv6.weight', 'conv10_1.weight'}),
        options=unet_options,
        channels=lambda network: RAW_PLANES,
        for_raw_inference=ExposureTiles,
    ),
    Architecture(
        network=ExposureNAFNet,
        system='exposurediffusion',
        marks=frozenset({'intro.weight', 'ending.weight', 'middle_blks.0.norm1.bias', 'encoders.0.0.norm1.bias'}),
        options=nafnet_options,
        channels=lambda network: RAW_PLANES,
        for_raw_inference=ExposureStrips,
    ),
    Architecture(
        network=LLDiffusionNet,
        system='lldiffusion',
        marks=frozenset({'encoder.encoder.conv_7x7.weight', 'diff_unet.conv_in.weight', 'deg_unet.conv_in.weight'}),
        options=lldiffusion_options,
        channels=lambda network: network.diff_unet.conv_out.out_channels,
        for_inference=WholeOrTiles,
        patches=Patches,
    ),
]
"""The architectures whose weights are recognised."""


def architecture_of(state: Mapping[str, Tensor]) -> Architecture:
    """Return the architecture of a state dict.

    Raises:
        InputError: It belongs to none that is known here.

    Example:
        >>> network = ConditionalNAFNet(width=8, enc_blk_nums=[1], middle_blk_num=1, dec_blk_nums=[1])
        >>> architecture_of(network.state_dict()).name
        'ConditionalNAFNet'
    """
    best = max(ARCHITECTURES, key=lambda architecture: len(architecture.marks & state.keys()))
    if best.marks & state.keys():
        return best
    names = ', '.join(architecture.name for architecture in ARCHITECTURES)
    first = next(iter(state), 'no key')
    raise InputError(f"These are not the weights of a known network ({names}); their first key is '{first}'.")


def find_architecture(network: nn.Module) -> Architecture | None:
    """Return the architecture of a network; None if it is not a known one."""
    return next((architecture for architecture in ARCHITECTURES if type(network) is architecture.network), None)


def architecture_of_network(network: nn.Module) -> Architecture:
    """Return the architecture of a network.

    Raises:
        InputError: It is not a known one.
    """
    if architecture := find_architecture(network):
        return architecture
    raise InputError(f'{type(network).__name__} has no entry among the known architectures.')
