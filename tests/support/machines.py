"""Machines that the tests do not run on."""

from __future__ import annotations

import torch


def machine(monkeypatch, kind, count=1):
    """Let PyTorch say that this machine has ``count`` accelerators of a kind: a mock, nothing can be computed there."""
    monkeypatch.setattr('torch.accelerator.current_accelerator', lambda check_available=False: torch.device(kind))
    monkeypatch.setattr('torch.accelerator.device_count', lambda: count)
