"""The section ``network_g``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from entropy_sde_plugin.data.options import DatasetOptions
from entropy_sde_plugin.errors import InputError, about, quoted
from entropy_sde_plugin.options.arguments import build_without_memory, registered

__all__ = ['build_network', 'check_crops', 'check_network']


def build_network(section: Any) -> torch.nn.Module | None:
    """Build the network of a section ``network_g`` on the device ``meta``; None for networks that are not ours.

    Raises:
        InputError: Unknown network; unknown, missing or wrong argument; or more parameters than fit into the memory
            of this machine.
    """
    network = build_without_memory('arch', section, 'network_g')
    if network is not None:
        _check_memory(network)
    return network


def _check_memory(network: torch.nn.Module) -> None:
    """Check that the weights' memory can be allocated; it is not touched, and freed at once."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    try:
        torch.empty(parameters)
    except RuntimeError:
        raise InputError(
            f"Section 'network_g': {parameters:,} parameters, {parameters >> 28:,} GiB, do not fit into the memory of "
            'this machine: reduce the width or the numbers of blocks.',
            'network_g',
        ) from None


def check_crops(network: Any, datasets: Mapping[str, DatasetOptions]) -> None:
    """Check that a network which does not take every size takes the training's crops.

    Args:
        network: The network; if it has a method ``check_crop_size``, that one judges.
        datasets: Options of our data sets, by their keys.

    Raises:
        InputError: It does not.
    """
    side = getattr(datasets.get('train'), 'gt_size', None)
    if side is not None and hasattr(network, 'check_crop_size'):
        with about('datasets.train'):
            network.check_crop_size(side)


def check_network(section: Mapping[str, Any], model: Any) -> None:
    """Check that the network restores RGB images or raw ones, and can be called as the model calls it.

    Args:
        section: The section.
        model: The model's class.

    Raises:
        InputError: It has other channels, another ``forward``, or lacks a method that the model calls.
    """
    if section.get('img_channel', 3) != 3:
        path = 'network_g.img_channel'
        raise InputError(
            f"Option '{path}' must be 3 (images are RGB), but it is {quoted(section['img_channel'])}.", path
        )
    network = registered('arch', section['type'], 'network_g.type')
    forward = getattr(network, 'forward', None)
    if forward is None:  # a function that builds a network
        return
    try:
        inspect.signature(forward).bind('self', *model.network_inputs)
    except TypeError as error:
        raise InputError(
            f"'network_g.type': {section['type']} is not a network for {model.__name__}, which gives it "
            f'{" and ".join(model.network_inputs.values())}: {error}.',
            'network_g.type',
        ) from None
    missing = [method for method in model.network_methods if not hasattr(network, method)]
    if missing:
        raise InputError(
            f"'network_g.type': {section['type']} is not a network for {model.__name__}, which calls its methods "
            f'{" and ".join(model.network_methods)}: take one that has them.',
            'network_g.type',
        )
