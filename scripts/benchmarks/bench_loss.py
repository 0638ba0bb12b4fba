"""Time and memory of the spatial entropy's engines against two materialising forms of it, in one run.

Both forms are written from the formula (`_materialising.py`): ``as released`` in the manner of the method's published
code, which is what the targets were set against, and ``lean``, several times as fast and so the harder comparison.

Every measurement is a process of its own: forward and backward pass, the fastest of several calls, and the peak of its
resident memory above what it held before the first call (PyTorch loaded, images made, one call on a tiny image done).
Ratios are printed first: a shared machine makes all numbers larger, ratios less so. The whole takes about ten minutes;
``--tables targets`` is the shortest that answers whether the engines pay.

The pair is the middle of a photograph and the same with noise (standard deviation 0.05), or independent uniform noise,
which reaches every bin. On the photograph, engines and forms must agree in the loss, or the run ends.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from _loss_measurements import ENGINES, FORMS, LEAN, RELEASED, Bench, lean_bytes

from entropy_sde_plugin.benchmark.loss_cases import PAPER, Case

#: Cases with the least (time ratio, memory ratio) that the project asks of each engine.
TARGETS = {
    Case('hellinger', (1, 3, 5), 32, 1, 128): {'torch': (30, 100), 'native': (120, 400)},
    Case('hellinger', (1, 3, 5), 64, 1, 96): {'torch': (100, 250), 'native': (400, 1000)},
    Case('relative_entropy', (11,), 32, 1, 128): {'torch': (20, 80), 'native': (60, 300)},
}
#: Least time ratio of the first case against a materialising form that keeps its memory between calls.
TUNED_TARGETS = {'torch': 8, 'native': 30}
#: Most MB at the paper's batch.
PAPER_TARGETS = {'torch': 400, 'native': 100}
LARGE = (
    PAPER,
    replace(PAPER, distance='relative_entropy', windows=(11,)),
    Case('hellinger', (1, 3, 5), 64, 1, 512),
    Case('hellinger', (1, 3, 5), 256, 1, 128),
)
TABLES = ('targets', 'tuned', 'large', 'growth', 'operations')
SIDES = (32, 64, 128, 256, 512)
LEVELS = (8, 16, 32, 64, 128, 256)
COLOURS = {RELEASED: '#aaaaaa', LEAN: '#555555', 'torch': '#c1502e', 'native': '#1f6f8b'}
#: Less than this counts as this in a ratio: a process's own few pages would decide it.
SMALLEST_BYTES = 1e6
#: Forms and engines must agree in the loss to this; kernels that cancel in float32 are off by some of it.
SAME_LOSS = 1e-3
#: Most bytes of a materialising form in the plot.
DRAWN_BYTES = 6e9


def show_targets(bench: Bench, form: str, cases: list[Case], engines: list[str]) -> None:
    """Print the ratios that the targets are set for: time / memory."""
    print(f'\n## Ratios to the materialising form, {form}: time / memory, more is better\n')
    print_header(['case', 'neighbours, pair', *[f'{name} (target)' for name in engines], form])
    for case in cases:
        whole = bench.run(form, case)
        for neighbours in ('all_channels', 'per_channel'):
            for pair in ('photograph', 'noise'):
                row = replace(case, neighbours=neighbours, pair=pair)
                cells = []
                for name in engines:
                    found = bench.run(name, row)
                    if row == case and not math.isclose(found['value'], whole['value'], rel_tol=SAME_LOSS):
                        raise SystemExit(f'{case}: {name} computes {found["value"]}, {form} {whole["value"]}.')
                    memory = whole['bytes'] / max(found['bytes'], SMALLEST_BYTES)
                    time = whole['seconds'] / found['seconds']
                    cell = f'{time:.0f} / {memory:.0f}'
                    if row in TARGETS:
                        asked, asked_memory = TARGETS[row][name]
                        cell += aim(f'{asked} / {asked_memory}', time >= asked and memory >= asked_memory)
                    cells.append(f'{cell}: {amount(found)}')
                print_row([case, f'{neighbours}, {pair}', *cells, amount(whole)])


def show_tuned(bench: Bench, form: str, cases: list[Case], engines: list[str]) -> None:
    """Print the time ratios to a materialising form that keeps its memory between calls."""
    print(f'\n## Time ratios to {form} under a tuned allocator (no page faults after the first call)\n')
    print_header(['case', *[f'{name} (target)' for name in engines], f'{form}, tuned'])
    for case in cases:
        whole = bench.run(form, case, tuned=True)
        cells = []
        for name in engines:
            time = whole['seconds'] / bench.run(name, case)['seconds']
            cell = f'{time:.1f}'
            if case == next(iter(TARGETS)):
                cell += aim(f'{TUNED_TARGETS[name]}', time >= TUNED_TARGETS[name])
            cells.append(cell)
        print_row([case, *cells, f'{whole["seconds"]:.2f} s'])


def show_large(bench: Bench, cases: list[Case], engines: list[str]) -> None:
    """Print time and memory where the materialising forms do not fit."""
    print('\n## Large: time, memory above the baseline\n')
    print_header(['case', *engines, f'{LEAN} would need'])
    for case in cases:
        cells = []
        for name in engines:
            cell = amount(bench.run(name, case))
            cells.append(f'{cell} (target {PAPER_TARGETS[name]} MB)' if case.batch == PAPER.batch else cell)
        print_row([case, *cells, f'{lean_bytes(case) / 1e9:.0f} GB'])


def show_growth(bench: Bench, sides: tuple[int, ...], levels: tuple[int, ...], engines: list[str]) -> None:
    """Print how time grows with the values, three a pixel, and memory with the levels."""
    print('\n## Growth: Hellinger 1-3-5, uniform noise\n')
    print_header(['size', *engines])
    base = Case('hellinger', (1, 3, 5), 32, 1, 64, pair='noise')
    for side in sides:
        found = [bench.run(name, replace(base, side=side)) for name in engines]
        cells = [f'{1e6 * run["seconds"] / (3 * side**2):.2f} µs a value, {run["bytes"] / 1e6:.0f} MB' for run in found]
        print_row([f'{side}x{side}, L {base.levels}', *cells])
    for count in levels:
        cells = [amount(bench.run(name, replace(base, levels=count))) for name in engines]
        print_row([f'{base.side}x{base.side}, L {count}', *cells])


def show_operations(bench: Bench) -> None:
    """Print the PyTorch engine's kernel launches."""
    found = bench.count()
    print(
        f"\n## PyTorch engine, one call at the paper's batch ({PAPER})\n\n{found['launches']:.0f} operations (kernel "
        f'launches at least), {found["bytes"] / 1e9:.1f} GB read and written; forward and backward.'
    )


def aim(target: str, met: bool) -> str:
    return f' ({target})' if met else f' ({target}, missed)'


def amount(found: dict[str, float]) -> str:
    return f'{found["seconds"]:.3g} s, {found["bytes"] / 1e6:.0f} MB'


def print_header(names: list[str]) -> None:
    print_row(names)
    print('|' + '---|' * len(names))


def print_row(cells: list[Any]) -> None:
    print(f'| {" | ".join(map(str, cells))} |', flush=True)


def plot(bench: Bench, path: Path, sides: tuple[int, ...], levels: tuple[int, ...], engines: list[str]) -> None:
    """Draw time and memory against L and against the patch size."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install 'entropy-sde-plugin[bench]'") from None
    matplotlib.use('Agg')
    from matplotlib import pyplot

    pyplot.rcParams.update({'axes.spines.top': False, 'axes.spines.right': False, 'font.size': 9})
    base = Case('hellinger', (1, 3, 5), 32, 1, 64)
    columns = {
        'levels L, at 3x64x64': {count: replace(base, levels=count) for count in levels},
        'side of the patch, at L = 32': {side: replace(base, side=side) for side in sides},
    }
    figure, axes = pyplot.subplots(2, 2, figsize=(8.5, 6), sharex='col', sharey='row', layout='constrained')
    for (label, cases), column in zip(columns.items(), axes.T, strict=True):
        for what in [*FORMS, *engines]:
            drawn = {x: case for x, case in cases.items() if what in engines or lean_bytes(case) < DRAWN_BYTES}
            found = [bench.run(what, case) for case in drawn.values()]
            for axis, values in zip(
                column, ([run['seconds'] for run in found], [run['bytes'] / 1e6 for run in found]), strict=True
            ):
                axis.loglog(list(drawn), values, 'o-', color=COLOURS[what], label=what, markersize=4)
        for axis in column:
            axis.set_xticks(list(cases), map(str, cases))
            axis.minorticks_off()
            axis.grid(alpha=0.25)
        column[1].set_xlabel(label)
    axes[0, 0].set_ylabel('seconds, forward and backward')
    axes[1, 0].set_ylabel('MB above the baseline')
    axes[0, 0].legend(frameon=False)
    figure.suptitle(f'Spatial entropy, Hellinger 1-3-5, a photograph and its noisy copy, {bench.threads} CPU threads')
    figure.savefig(path, dpi=110)
    print(f'\n{path}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tables', nargs='+', choices=TABLES, default=TABLES, metavar='TABLE', help=', '.join(TABLES))
    parser.add_argument('--quick', action='store_true', help='smaller images, for which no targets are set')
    parser.add_argument('--engines', nargs='+', choices=ENGINES, default=list(ENGINES))
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--repeats', type=int, default=7, help='calls of an engine, of which the fastest counts')
    parser.add_argument(
        '--device', default='cpu', help="where the images lie; 'cuda' leaves out the native engine and 'tuned'"
    )
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='draw time and memory against L and patch size')
    options = parser.parse_args()
    on_cpu = options.device == 'cpu'
    engines = [name for name in ENGINES if name in options.engines and (on_cpu or name == 'torch')]
    bench = Bench(options.threads, options.repeats, options.device)
    print(f'{options.device}, {options.threads} threads, fastest of {options.repeats} calls')
    cases, large, sides, levels = list(TARGETS), list(LARGE), SIDES, LEVELS
    if options.quick:
        cases, large, sides, levels = [replace(case, side=48) for case in TARGETS], [PAPER], (32, 64), (8, 64)
    if 'targets' in options.tables:
        for form in FORMS:
            show_targets(bench, form, cases, engines)
    if 'tuned' in options.tables and on_cpu:
        for form in FORMS:
            show_tuned(bench, form, cases, engines)
    if 'large' in options.tables:
        show_large(bench, large, engines)
    if 'growth' in options.tables:
        show_growth(bench, sides, levels, engines)
    if 'operations' in options.tables and 'torch' in engines:
        show_operations(bench)
    if options.plot:
        plot(bench, options.plot, sides, levels, engines)


if __name__ == '__main__':
    main()
