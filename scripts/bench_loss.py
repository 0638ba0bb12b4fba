"""Time and memory of the spatial entropy's engines against the materialising form, in one run.

Every measurement is a process of its own: forward and backward pass, the fastest of several calls, and the peak of its
resident memory above what it held before the first call (PyTorch loaded, images made, one call on a tiny image done).
Ratios are printed first: a shared machine makes all numbers larger, ratios less so.

The pair is the middle of a photograph and the same with noise (standard deviation 0.05), or independent uniform noise,
which touches every bin: the worst case.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENGINES = ('torch', 'native')
MATERIALISING = 'materialising'
#: One huge arena that is never given back: page faults fall away after the first call.
TUNED_ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': str(1 << 40), 'MALLOC_TRIM_THRESHOLD_': str(1 << 40)}
#: Copies of (L^2, pixels) floats that the materialising form holds at its peak, with room.
MATERIALISED_COPIES = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """One setting of the loss and the images it is called with.

    Attributes:
        targets: What the project asks for, as (time ratio, memory ratio) of each engine.
    """

    distance: str
    windows: tuple[int, ...]
    levels: int
    batch: int
    side: int
    neighbours: str = 'all_channels'
    pair: str = 'photograph'
    targets: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        windows = '-'.join(map(str, self.windows))
        return f'{self.distance} {windows}, L {self.levels}, {self.batch}x3x{self.side}x{self.side}'

    @property
    def materialised_bytes(self) -> int:
        return 4 * MATERIALISED_COPIES * self.batch * 3 * self.side**2 * self.levels**2


TABLE = (
    Case('hellinger', (1, 3, 5), 32, 1, 128, targets=((30, 100), (120, 400))),
    Case('hellinger', (1, 3, 5), 64, 1, 96, targets=((100, 250), (400, 1000))),
    Case('relative_entropy', (11,), 32, 1, 128, targets=((20, 80), (60, 300))),
)
TUNED_TARGETS = (8, 30)
PAPER = Case('hellinger', (1, 3, 5), 32, 8, 128)
LARGE = (
    PAPER,
    dataclasses.replace(PAPER, distance='relative_entropy', windows=(11,)),
    Case('hellinger', (1, 3, 5), 64, 1, 512),
    Case('hellinger', (1, 3, 5), 256, 1, 128),
)
PAPER_TARGETS = {'torch': 400, 'native': 100}


# --- the measured process ---------------------------------------------------------------------------------------------


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Time a case in this process; called in a fresh one."""
    import torch

    torch.set_num_threads(job['threads'])
    case = Case(**{**job['case'], 'windows': tuple(job['case']['windows'])})
    device = torch.device(job['device'])
    call = _call(job['what'], case)
    images = [image.to(device) for image in _images(case)]
    warm_up = dataclasses.replace(case, levels=8, windows=(3,))
    _call(job['what'], warm_up)(*(image[:1, :, :16, :16].contiguous() for image in images))
    memory = _Peak(device)
    seconds = []
    for _ in range(job['repeats']):
        start = time.perf_counter()
        value = call(*images)
        if device.type != 'cpu':
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return {'seconds': min(seconds), 'bytes': memory.above_baseline(), 'value': value}


def _call(what: str, case: Case) -> Callable[..., float]:
    import torch
    from _materialising import materialising

    from entropy_sde_plugin.losses.spatial_entropy import spatial_entropy

    options: dict[str, Any] = {
        'distance': case.distance,
        'levels': case.levels,
        'windows': case.windows,
        'neighbour_normalisation': case.neighbours,
    }

    def forward_and_backward(pred: torch.Tensor, target: torch.Tensor) -> float:
        pred = pred.detach().requires_grad_()
        if what == MATERIALISING:
            loss = materialising(pred, target, **options)
        else:
            loss = spatial_entropy(pred, target, engine=what, **options)
        loss.backward()
        return loss.item()

    return forward_and_backward


def _images(case: Case) -> list[Any]:
    import numpy as np
    import torch

    from entropy_sde_plugin.data.photographs import TRAIN, photograph

    rng = np.random.default_rng(0)
    shape = (case.batch, 3, case.side, case.side)
    if case.pair == 'noise':
        return [torch.tensor(rng.uniform(size=shape), dtype=torch.float32) for _ in range(2)]
    target = np.empty(shape)
    for k in range(case.batch):
        image = photograph(TRAIN[k % len(TRAIN)])
        image = np.tile(image, (-(-case.side // image.shape[0]), -(-case.side // image.shape[1]), 1))
        top, left = (image.shape[0] - case.side) // 2, (image.shape[1] - case.side) // 2
        target[k] = image[top : top + case.side, left : left + case.side].transpose(2, 0, 1) / 255
    pred = target + 0.05 * rng.normal(size=shape)
    return [torch.tensor(image, dtype=torch.float32) for image in (pred, target)]


class _Peak:
    """Peak of the memory in use since this was made, above what was in use then."""

    def __init__(self, device: Any) -> None:
        import torch

        self.device = device
        if device.type == 'cpu':
            Path('/proc/self/clear_refs').write_text('5')  # resets the peak
            self.before = self._status('VmRSS')
        else:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def above_baseline(self) -> float:
        import torch

        after = self._status('VmHWM') if self.device.type == 'cpu' else torch.cuda.max_memory_allocated()
        return max(after - self.before, 1)

    @staticmethod
    def _status(field: str) -> int:
        lines = Path('/proc/self/status').read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f'{field}:'))


def count_operations(device: str) -> dict[str, float]:
    """Count what the PyTorch engine does in one call at the paper's batch.

    On a CPU, with the chunks of a GPU in one thread; views and allocations do not count.

    Returns:
        Operations, each one kernel launch at least, and the bytes that they read and write.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from entropy_sde_plugin.losses import torch_engine

    class Counter(TorchDispatchMode):
        launches = 0
        moved = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            aliases = [value.alias_info for value in func._schema.returns]
            is_view = all(alias is not None and not alias.is_write for alias in aliases)
            if not is_view and not func._schema.name.startswith('aten::empty'):
                tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
                self.launches += 1
                self.moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            return result

    torch.set_num_threads(1)
    torch_engine.CHUNK_ELEMENTS_CPU = torch_engine.CHUNK_ELEMENTS
    images = [image.to(device) for image in _images(PAPER)]
    counter = Counter()
    with counter:
        _call('torch', PAPER)(*images)
    return {'launches': counter.launches, 'bytes': counter.moved}


# --- the tables -------------------------------------------------------------------------------------------------------


class Bench:
    """Runs measurements in fresh processes and remembers them."""

    def __init__(self, threads: int, repeats: int, device: str) -> None:
        self.threads, self.repeats, self.device = threads, repeats, device
        self.done: dict[str, dict[str, float]] = {}

    def run(self, what: str, case: Case, tuned: bool = False) -> dict[str, float]:
        """Measure ``what`` (an engine or the materialising form) on a case."""
        # The materialising form needs seconds a call and looks at all bins whatever the images are.
        repeats = self.repeats if what != MATERIALISING else 3 if tuned else 2
        if what == MATERIALISING:
            case = dataclasses.replace(case, neighbours='all_channels', pair='photograph')
        fields = {**dataclasses.asdict(case), 'targets': ()}
        job = {'what': what, 'case': fields, 'threads': self.threads, 'repeats': repeats, 'device': self.device}
        return self._in_process('measure', job, TUNED_ALLOCATOR if tuned else {})

    def count(self) -> dict[str, float]:
        """Count the PyTorch engine's operations."""
        return self._in_process('count_operations', self.device, {})

    def _in_process(self, function: str, argument: Any, environment: dict[str, str]) -> dict[str, float]:
        key = json.dumps([function, argument, environment])
        if key not in self.done:
            command = [sys.executable, __file__, '--in-process', function, json.dumps(argument)]
            result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
            if result.returncode:
                raise SystemExit(f'{function} {argument} failed:\n{result.stderr}')
            self.done[key] = json.loads(result.stdout)
        return self.done[key]


def show_targets(bench: Bench, cases: tuple[Case, ...], engines: list[str]) -> None:
    """Print the table of the targets: time ratio / memory ratio."""
    print('\n## Ratios to the materialising form: time / memory, more is better\n')
    print(f'| case | neighbours, pair | {" | ".join(f"{name} (target)" for name in engines)} | materialising |')
    print('|' + '---|' * (3 + len(engines)))
    for case in cases:
        whole = bench.run(MATERIALISING, case)
        for neighbours in ('all_channels', 'per_channel'):
            for pair in ('photograph', 'noise'):
                row = dataclasses.replace(case, neighbours=neighbours, pair=pair)
                cells = []
                for name in engines:
                    found = bench.run(name, row)
                    cell = f'{whole["seconds"] / found["seconds"]:.0f} / {whole["bytes"] / found["bytes"]:.0f}'
                    if case.targets and neighbours == 'all_channels':
                        cell += ' ({} / {})'.format(*case.targets[ENGINES.index(name)])
                    cells.append(f'{cell}: {_amount(found)}')
                print(f'| {case} | {neighbours}, {pair} | {" | ".join(cells)} | {_amount(whole)} |', flush=True)


def show_tuned(bench: Bench, cases: tuple[Case, ...], engines: list[str]) -> None:
    """Print the time ratios to the materialising form that keeps its memory between calls."""
    print('\n## Time ratios, the materialising form under a tuned allocator (no page faults after the first call)\n')
    print(f'| case | {" | ".join(f"{name} (target)" for name in engines)} | materialising, tuned |')
    print('|' + '---|' * (2 + len(engines)))
    for case in cases:
        whole = bench.run(MATERIALISING, case, tuned=True)
        cells = []
        for name in engines:
            cell = f'{whole["seconds"] / bench.run(name, case)["seconds"]:.1f}'
            if case == TABLE[0]:
                cell += f' ({TUNED_TARGETS[ENGINES.index(name)]})'
            cells.append(cell)
        print(f'| {case} | {" | ".join(cells)} | {whole["seconds"]:.2f} s |', flush=True)


def show_large(bench: Bench, cases: tuple[Case, ...], engines: list[str]) -> None:
    """Print time and memory where the materialising form does not fit."""
    print('\n## Large: time, memory above the baseline\n')
    print(f'| case | {" | ".join(engines)} | materialising would need |\n|' + '---|' * (2 + len(engines)))
    for case in cases:
        cells = []
        for name in engines:
            cell = _amount(bench.run(name, case))
            if (case.batch, case.side) == (PAPER.batch, PAPER.side):
                cell += f' (target {PAPER_TARGETS[name]} MB)'
            cells.append(cell)
        print(f'| {case} | {" | ".join(cells)} | {case.materialised_bytes / 1e9:.0f} GB |', flush=True)


def show_growth(bench: Bench, sides: tuple[int, ...], levels: tuple[int, ...], engines: list[str]) -> None:
    """Print how time grows with the pixels and memory with the levels."""
    base = Case('hellinger', (1, 3, 5), 32, 1, 128)
    print('\n## Growth: 1-3-5, Hellinger, uniform noise\n')
    print(f'| {" | ".join(f"{name}" for name in ["size", *engines])} |\n|' + '---|' * (1 + len(engines)))
    for side in sides:
        case = dataclasses.replace(base, side=side, pair='noise')
        found = [bench.run(name, case) for name in engines]
        cells = [f'{1e6 * run["seconds"] / (3 * side**2):.2f} µs a pixel, {run["bytes"] / 1e6:.0f} MB' for run in found]
        print(f'| {side}x{side}, L 32 | {" | ".join(cells)} |', flush=True)
    for count in levels:
        case = dataclasses.replace(base, side=sides[0], levels=count, pair='noise')
        cells = [_amount(bench.run(name, case)) for name in engines]
        print(f'| {sides[0]}x{sides[0]}, L {count} | {" | ".join(cells)} |', flush=True)


def show_operations(bench: Bench) -> None:
    """Print the PyTorch engine's kernel launches."""
    found = bench.count()
    print(
        f"\n## PyTorch engine, one call at the paper's batch ({PAPER})\n\n{found['launches']:.0f} operations (kernel "
        f'launches at least), {found["bytes"] / 1e9:.1f} GB read and written; forward and backward.'
    )


def plot(bench: Bench, path: Path, engines: list[str], sides: tuple[int, ...], levels: tuple[int, ...]) -> None:
    """Draw time and memory against L and against the patch size."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install 'entropy-sde-plugin[bench]'") from None
    matplotlib.use('Agg')
    from matplotlib import pyplot

    base = Case('hellinger', (1, 3, 5), 32, 1, 64)
    rows = {
        'levels L (1x3x64x64)': [(count, dataclasses.replace(base, levels=count)) for count in levels],
        'patch side (L = 32)': [(side, dataclasses.replace(base, side=side)) for side in sides],
    }
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout='constrained')
    for column, (label, cases) in enumerate(rows.items()):
        for what in [MATERIALISING, *engines]:
            fitting = [(x, case) for x, case in cases if what != MATERIALISING or case.materialised_bytes < 6e9]
            found = [bench.run(what, case) for _, case in fitting]
            xs = [x for x, _ in fitting]
            axes[0, column].loglog(xs, [run['seconds'] for run in found], 'o-', label=what)
            axes[1, column].loglog(xs, [run['bytes'] / 1e6 for run in found], 'o-', label=what)
        for axis, quantity in zip(axes[:, column], ('seconds, forward and backward', 'MB above baseline'), strict=True):
            axis.set(xlabel=label, ylabel=quantity)
            axis.set_xticks([x for x, _ in cases], [str(x) for x, _ in cases], minor=False)
            axis.grid(alpha=0.3)
            axis.legend()
    figure.suptitle(f'Hellinger 1-3-5, {bench.threads} threads, photographs')
    figure.savefig(path, dpi=120)
    print(f'\n{path}')


def _amount(found: dict[str, float]) -> str:
    return f'{found["seconds"]:.3g} s, {found["bytes"] / 1e6:.0f} MB'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='small images only, under a minute')
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=list(ENGINES))
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--repeats', type=int, default=7, help='calls of an engine, of which the fastest counts')
    parser.add_argument('--device', default='cpu', help="where the images lie; 'cuda' leaves out the native engine")
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='draw time and memory against L and patch size')
    parser.add_argument('--in-process', nargs=2, metavar=('FUNCTION', 'JSON'), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        function, argument = options.in_process
        print(json.dumps({'measure': measure, 'count_operations': count_operations}[function](json.loads(argument))))
        return
    engines = [name for name in ENGINES if name in options.engines and (options.device == 'cpu' or name == 'torch')]
    bench = Bench(options.threads, options.repeats, options.device)
    print(f'{options.device}, {options.threads} threads, fastest of {options.repeats} calls')
    table, large, sides, levels = TABLE, LARGE, (64, 128, 256, 512), (8, 16, 32, 64, 128, 256)
    if options.quick:
        table = tuple(dataclasses.replace(case, side=48, targets=()) for case in TABLE)
        large, sides, levels = LARGE[:1], (32, 64), (8, 64)
    show_targets(bench, table, engines)
    if options.device == 'cpu':
        show_tuned(bench, table, engines)
    show_large(bench, large, engines)
    show_growth(bench, sides, levels, engines)
    if 'torch' in engines:
        show_operations(bench)
    if options.plot:
        plot(bench, options.plot, engines, sides, levels)


if __name__ == '__main__':
    main()
