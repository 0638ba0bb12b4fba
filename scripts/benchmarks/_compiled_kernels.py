"""The loss's Triton kernels, compiled ahead of time for a GPU that need not be there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec
from entropy_sde_plugin.losses.spatial_entropy.triton import kernels
from entropy_sde_plugin.losses.spatial_entropy.triton.engine import PIXELS, TABLE_BINS, Problem

__all__ = ['Compiled', 'compile_kernels', 'opcodes']

TOOLS = Path(triton.__path__[0]) / 'backends' / 'nvidia' / 'bin'

#: Types of the arguments that are not pointers to float32.
TYPES = {
    'offsets': '*i32',
    **dict.fromkeys(('start', 'stop', 'height', 'width', 'levels', 'pixels', 'count'), 'i32'),
    **dict.fromkeys(('reach', 'floor', 'root_epsilon', 'factor', 'inverse_bandwidth'), 'fp32'),
}

#: Integers that are multiples of 16 in the published case, which Triton makes use of.
DIVISIBLE = {'height', 'width', 'levels', 'pixels'}


@dataclass(frozen=True)
class Compiled:
    """A kernel for one GPU.

    Attributes:
        registers: Number of registers of a thread.
        stack: Bytes of a thread's registers that are spilled to memory.
        shared: Bytes of shared memory of a program.
        warps: Number of warps of a program.
        cubin: The machine code.
    """

    registers: int
    stack: int
    shared: int
    warps: int
    cubin: bytes

    @cached_property
    def sass(self) -> str:
        """The machine code as text."""
        return _run('nvdisasm', '--print-code', self.cubin)


def compile_kernels(spec: EntropySpec, capability: int) -> dict[str, Compiled]:
    """Compile the kernels for images of 128x128 and a compute capability such as 90.

    Returns:
        The kernels by name; `compare_windows` with its gradient.
    """
    problem = Problem.of(torch.empty(4, 1, 128, 128), spec, need_gradient=True)
    per_pixel = {'PIXELS': PIXELS}
    tables = {'SLOPES': True, 'NORMALISE': spec.normalise, 'BINS': TABLE_BINS} | per_pixel
    return {
        'kernel_tables': _compile(kernels.kernel_tables, tables, capability, warps=4),
        'compare_windows': _compile(kernels.compare_windows, problem.constants, capability, warps=1),
        'collect_gradient': _compile(kernels.collect_gradient, per_pixel, capability, warps=4),
    }


def _compile(kernel: Any, constants: dict[str, Any], capability: int, warps: int) -> Compiled:
    signature = {name: 'constexpr' if name in constants else TYPES.get(name, '*fp32') for name in kernel.arg_names}
    aligned = {
        (place,): [['tt.divisibility', 16]]
        for place, name in enumerate(kernel.arg_names)
        if signature[name].startswith('*') or name in DIVISIBLE
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    found = triton.compile(source, target=GPUTarget('cuda', capability, 32), options={'num_warps': warps})
    usage = _run('cuobjdump', '--dump-resource-usage', found.asm['cubin'])
    used = re.search(r'REG:(\d+) STACK:(\d+)', usage)
    if used is None:
        raise RuntimeError(f'cuobjdump says nothing of registers: {usage}')
    return Compiled(int(used[1]), int(used[2]), found.metadata.shared, warps, found.asm['cubin'])


def _run(tool: str, option: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([TOOLS / tool, option, file.name], check=True, capture_output=True, text=True).stdout


def opcodes(sass: str, trips: list[int]) -> Counter[str]:
    """Count the instructions that a warp executes.

    Args:
        sass: Machine code.
        trips: How often each of its loops runs, in their order in the code; none within another.

    Raises:
        ValueError: The code has another number of loops.
    """
    lines = sass.splitlines()
    labels = {match[1]: at for at, line in enumerate(lines) if (match := re.match(r'(\.L_x_\d+):', line))}
    loops = []
    for at, line in enumerate(lines):
        jump = re.search(r'BRA.*`\((\.L_x_\d+)\)', line)
        if jump and labels[jump[1]] < at - 1:
            loops.append(range(labels[jump[1]], at + 1))
    if len(loops) != len(trips):
        raise ValueError(f'{len(loops)} loops in the code, expected {len(trips)}')
    counts: Counter[str] = Counter()
    for at, line in enumerate(lines):
        if operation := re.match(r'\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)', line):
            counts[operation[1]] += next((n for loop, n in zip(loops, trips, strict=True) if at in loop), 1)
    return counts
