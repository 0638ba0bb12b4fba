"""Whether the Triton engine can serve a device: found out by small cases, compared with the PyTorch engine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.pytorch import engine as pytorch_engine

__all__ = ['case_like', 'interpreted', 'why_unfit']

#: Largest difference from double precision, relative in the L2 norm. Its own is below 1e-6; that of products in TF32
#: above 1e-4.
TOLERANCE = 1e-5


def interpreted() -> bool:
    """Return whether Triton interprets its kernels on the CPU: a way to test them, far too slow for anything else."""
    try:
        from triton import knobs
    except ImportError:
        return False
    return knobs.runtime.interpret


def case_like(spec: EntropySpec) -> EntropySpec:
    """Return the case that is compared before ``spec`` is computed: one that the same kernels are compiled for.

    They depend on the distance, the windows and the blocks of bins, of which there are several beyond 32 levels.

    Example:
        >>> case_like(EntropySpec('hellinger', levels=200, windows=(1, 3), bandwidth=1.0, prefactor=2.0)).levels
        64
    """
    levels = 1 << (min(spec.levels, 64) - 1).bit_length()
    return replace(spec, levels=levels, bandwidth=0.5, prefactor=4.0, root_epsilon=1e-10)


@cache
def why_unfit(device: torch.device, case: EntropySpec) -> str | None:
    """Return in one clause why the engine cannot serve a device, or None if it can.

    Compiles and runs the kernels, once for each device, case and process. Not while a CUDA graph is captured: take a
    step before.

    Args:
        device: The device.
        case: See `case_like`.
    """
    generator = torch.Generator().manual_seed(0)
    planes = (torch.rand(4, 1, 16, 16, generator=generator) * (case.levels - 1)).to(device)
    v, v_nbr, w, w_nbr = planes.unbind()
    try:
        from entropy_sde_plugin.losses.spatial_entropy.triton.engine import distance_and_gradient

        found = distance_and_gradient(v, v_nbr, w, w_nbr, case, True)
        v, v_nbr, w, w_nbr = planes.double().unbind()
        expected = pytorch_engine.distance_and_gradient(v, v_nbr, w, w_nbr, case, True)
        # Inside the block, since a kernel's failure may show only when its results are read.
        if all(_agree(ours, theirs) for ours, theirs in zip(found, expected, strict=True)):
            return None
    except ImportError as error:
        return f'Triton cannot be imported ({error})'
    except Exception as error:  # whatever Triton, its compiler, the driver or the device has to say
        return f'it fails on {device} ({type(error).__name__}: {" ".join(str(error).split())[-200:]})'
    return f"its results on {device} differ from the PyTorch engine's"


def _agree(ours: Tensor | None, theirs: Tensor | None) -> bool:
    return ours is not None and theirs is not None and bool((ours - theirs).norm() <= TOLERANCE * theirs.norm())
