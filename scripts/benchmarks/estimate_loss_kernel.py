"""What the loss's Triton engine would take on A100 and H100: computed from its machine code, not measured.

    python scripts/benchmarks/estimate_loss_kernel.py

Compiles the kernels for each GPU, counts the instructions of a program and lets the busiest unit of a multiprocessor
decide. Clocks, units and bandwidths are the makers' published ones. Nothing is run on a GPU.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from _compiled_kernels import Compiled, compile_kernels, opcodes

from entropy_sde_plugin.losses.spatial_entropy.definition import EntropySpec

PIXELS = 8 * 3 * 128 * 128
"""Of the paper's batch; each is the centre of one program."""
SPECS = {
    'Hellinger 1-3-5': EntropySpec('hellinger', 32, (1, 3, 5), 0.5, 4.0),
    'relative entropy 11': EntropySpec('relative_entropy', 32, (11,), 0.5, 4.0),
}
REACHED = 0.7
"""Share of the bound that a kernel whose loads wait for the caches may reach."""
LANES = 32

#: Instructions by the unit that executes them.
UNITS = {
    'float32': ('FFMA', 'FADD', 'FMUL'),
    'special functions': ('MUFU',),
    'memory': ('LDG', 'STG', 'LDS', 'STS', 'LDSM', 'STSM', 'SHFL'),
}


@dataclass(frozen=True)
class GPU:
    """A GPU by its data sheet.

    Attributes:
        capability: Compute capability, times ten.
        clock: Hertz.
        lanes: Number of lanes of a multiprocessor in one clock, by unit.
        shared: Bytes of shared memory of a multiprocessor.
        bandwidth: Bytes a second of its memory.
    """

    name: str
    capability: int
    multiprocessors: int
    clock: float
    lanes: dict[str, int]
    shared: int
    bandwidth: float


GPUS = (
    GPU('A100 80 GB', 80, 108, 1.41e9, {'float32': 64, 'special functions': 16, 'memory': 32}, 164 << 10, 2.04e12),
    GPU('H100 SXM', 90, 132, 1.755e9, {'float32': 128, 'special functions': 16, 'memory': 32}, 228 << 10, 3.35e12),
)


def resident_warps(kernel: Compiled, gpu: GPU) -> int:
    """Warps that a multiprocessor holds: limited by 65,536 registers, shared memory, 32 programs and 64 warps."""
    registers = -(-kernel.registers // 8) * 8 * LANES * kernel.warps
    programs = min(65536 // registers, gpu.shared // (kernel.shared + 1024), 32)
    return min(64, programs * kernel.warps)


def clocks(counts: Counter[str], gpu: GPU) -> dict[str, float]:
    """Clocks of a multiprocessor for one warp's instructions, by what might limit it."""
    units = {unit: sum(counts[name] for name in names) * LANES / gpu.lanes[unit] for unit, names in UNITS.items()}
    return units | {'issue': counts.total() / 4}


def trips(spec: EntropySpec) -> list[int]:
    """How often the loops of `compare_windows` run: over the rings, out and back; a single pixel takes no loop."""
    sides = (0, *sorted(spec.windows))
    rings = [outer**2 - inner**2 for inner, outer in pairwise(sides)]
    return [pixels for pixels in rings + rings[::-1] if pixels > 1]


def main() -> None:
    """Print the tables."""
    print('Computed, not measured.\n')
    print('| loss | GPU | kernel | registers | spilled, bytes | shared, bytes | warps of 64 |\n|' + '---|' * 7)
    rows = []
    for name, spec in SPECS.items():
        for gpu in GPUS:
            compiled = compile_kernels(spec, gpu.capability)
            for kernel, found in compiled.items():
                usage = f'{found.registers} | {found.stack} | {found.shared} | {resident_warps(found, gpu)}'
                print(f'| {name} | {gpu.name} | `{kernel}` | {usage} |')
            counts = opcodes(compiled['compare_windows'].sass, trips(spec))
            bounds = clocks(counts, gpu)
            busiest = max(bounds, key=bounds.__getitem__)
            compare = PIXELS * bounds[busiest] / (gpu.multiprocessors * gpu.clock)
            window = max(spec.windows) ** 2
            # Tables written once and read once from memory, parts of the gradient written and read.
            moved = PIXELS * 4 * (2 * 6 * spec.levels + 2 * 2 * window + 8)
            memory = moved / gpu.bandwidth
            total = compare / REACHED + memory
            rows.append(
                f'| {name} | {gpu.name} | {counts.total():,} | {busiest} | {compare * 1e3:.1f} | {moved / 1e9:.2f} | '
                f'{memory * 1e3:.1f} | {total * 1e3:.1f} |'
            )
    print('\n| loss | GPU | instructions of a warp | limit | bound, ms | moved, GB | its time, ms | estimate, ms |')
    print('|' + '---|' * 8)
    print('\n'.join(rows))


if __name__ == '__main__':
    main()
