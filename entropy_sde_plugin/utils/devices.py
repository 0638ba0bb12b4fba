"""The device to compute on, through PyTorch's accelerator interface."""

from __future__ import annotations

import torch

from entropy_sde_plugin.errors import InputError

__all__ = ['accelerator', 'choose_device']

DEVICES = 'auto, cpu, cuda, cuda:N, mps, xpu'


def accelerator() -> torch.device | None:
    """Return the kind of accelerator that this machine has and this PyTorch was built for, if any."""
    return torch.accelerator.current_accelerator(check_available=True)


def choose_device(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: ``'auto'`` (the accelerator where there is one, else the CPU), ``'cpu'``, ``'cuda'``, ``'cuda:1'``,
            ``'mps'`` or ``'xpu'``.

    Raises:
        InputError: There is no such device, or it is not on this machine.

    Example:
        >>> choose_device('cpu')
        device(type='cpu')
    """
    here = accelerator()
    if name == 'auto':
        return here or torch.device('cpu')
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(f"device: there is no '{name}'. Valid: {DEVICES}.") from None
    if device.type not in ('cpu', 'cuda', 'mps', 'xpu'):
        raise InputError(f"device: '{name}' is not supported. Valid: {DEVICES}.")
    count = 0 if here is None or here.type != device.type else torch.accelerator.device_count()
    if device.type != 'cpu' and (device.index or 0) >= count:
        raise InputError(f"device: this machine has no '{name}' (devices of this kind: {count}). Use 'auto' or 'cpu'.")
    return device
