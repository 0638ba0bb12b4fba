"""The spatial entropy on the CPU by the library in ``native/``: same definition, a fraction of the time and memory.

The library is plain C++ on data pointers, loaded by ctypes. It is built when the package is installed, if there is a
C++ compiler (GCC or Clang), and is optional.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

from entropy_sde_plugin.losses.spatial_entropy import native
from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES, EntropySpec

__all__ = [
    'INSTRUCTION_SETS',
    'available',
    'distance_and_gradient',
    'instruction_sets',
    'library_path',
    'why_unavailable',
]

#: Instruction sets as the library numbers them; 0 selects the best that the processor has.
INSTRUCTION_SETS = {'portable': 1, 'avx2': 2, 'avx512': 3}

_OUT_OF_MEMORY = 1


def available() -> bool:
    """Return whether the library exists and matches this version of the package."""
    return why_unavailable() is None


def why_unavailable() -> str | None:
    """Return why the engine cannot be used, as part of a sentence, or None if it can."""
    return _load()[1]


def instruction_sets() -> list[str]:
    """Return the instruction sets of this processor that the library can use, the best last."""
    library = _library()
    return [name for name, number in INSTRUCTION_SETS.items() if library.spatial_entropy_supports(number)]


def distance_and_gradient(
    v: Tensor,
    v_nbr: Tensor,
    w: Tensor,
    w_nbr: Tensor,
    spec: EntropySpec,
    need_gradient: bool,
    *,
    instruction_set: str | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Compute the distance of every plane and its gradient; see `definition.SpatialEntropyEngine`.

    Runs in `torch.get_num_threads` threads; the result does not depend on their number.

    Args:
        v: The prediction's planes (N, H, W) in level units, float32 on the CPU.
        v_nbr: Its neighbour means.
        w: The target's planes.
        w_nbr: The target's neighbour means.
        spec: The options.
        need_gradient: Whether to return gradients.
        instruction_set: One of `instruction_sets`; None selects the best.

    Raises:
        TypeError: The planes are not float32 on the CPU.
        RuntimeError: The library is not available, or the processor lacks ``instruction_set``.
        MemoryError: The working memory could not be allocated.
    """
    library = _library()
    inputs = [plane.detach().contiguous() for plane in (v, v_nbr, w, w_nbr)]
    if any(plane.dtype != torch.float32 or plane.device.type != 'cpu' or plane.shape != v.shape for plane in inputs):
        raise TypeError('spatial entropy: the native engine takes float32 planes of one shape on the CPU')
    count, height, width = v.shape
    distance = inputs[0].new_empty(count)
    gradients = [torch.empty_like(inputs[0]) for _ in range(2)] if need_gradient else []
    pointers = [tensor.data_ptr() for tensor in (*inputs, distance, *gradients)]
    status = library.spatial_entropy_run(
        *pointers,
        *[None] * (7 - len(pointers)),
        count,
        height,
        width,
        DISTANCES.index(spec.distance),
        spec.levels,
        (ctypes.c_int * len(spec.windows))(*spec.windows),
        len(spec.windows),
        spec.bandwidth,
        spec.prefactor,
        spec.normalise,
        spec.root_epsilon,
        torch.get_num_threads(),
        INSTRUCTION_SETS[instruction_set] if instruction_set else 0,
    )
    if status == _OUT_OF_MEMORY:
        raise MemoryError('spatial entropy: no memory for the native engine')
    if status:
        raise RuntimeError(f'spatial entropy: this processor has no {instruction_set}')
    return (distance, gradients[0], gradients[1]) if need_gradient else (distance, None, None)


def library_path() -> Path:
    """Return where the library is, or would be; one file serves every Python version."""
    return native.FOLDER / f'_spatial_entropy{Path(EXTENSION_SUFFIXES[0]).suffix}'


def _library() -> ctypes.CDLL:
    library, reason = _load()
    if library is None:
        raise RuntimeError(f'the native engine is not available: {reason}')
    return library


@cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """Load the library; return it, or why it cannot be used."""
    path = library_path()
    if not path.exists():
        return None, 'it was not built; install a C++ compiler (GCC or Clang), then this package again'
    try:
        library = ctypes.CDLL(str(path))
        library.spatial_entropy_sources.restype = ctypes.c_char_p
        built_from = library.spatial_entropy_sources().decode()
    except (OSError, AttributeError) as error:
        return None, f'{path.name} cannot be loaded ({error}); install this package again'
    if built_from != native.digest():
        return None, f'{path.name} was built from other sources; install this package again'
    library.spatial_entropy_run.argtypes = [
        *[ctypes.c_void_p] * 7,
        *[ctypes.c_int64] * 3,
        *[ctypes.c_int] * 2,
        ctypes.POINTER(ctypes.c_int),
        ctypes.c_int,
        *[ctypes.c_double] * 2,
        ctypes.c_int,
        ctypes.c_double,
        *[ctypes.c_int] * 2,
    ]
    return library, None
