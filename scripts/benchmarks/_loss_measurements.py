"""Time and memory of one call of the loss, each in a process of its own; what `bench_loss.py` prints and draws.

Run as a script it is that process: it takes the name of a function below and its argument as JSON, and prints what the
function returns as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _memory import resident

ENGINES = ('torch', 'native')
#: The materialising forms of `_materialising.py`.
RELEASED, LEAN = FORMS = ('as released', 'lean')
#: One huge arena that is never given back: page faults fall away after the first call.
TUNED_ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': str(1 << 40), 'MALLOC_TRIM_THRESHOLD_': str(1 << 40)}
#: Copies of (L^2, pixels) floats that the lean form holds at its peak, measured where it fits.
LEAN_COPIES = {'hellinger': 12, 'relative_entropy': 9}


@dataclasses.dataclass(frozen=True)
class Case:
    """One setting of the loss and the images it is called with.

    Attributes:
        pair: ``photograph``: the middle of one, and the same with noise; ``noise``: two of uniform noise.
    """

    distance: str
    windows: tuple[int, ...]
    levels: int
    batch: int
    side: int
    neighbours: str = 'all_channels'
    pair: str = 'photograph'

    def __str__(self) -> str:
        windows = '-'.join(map(str, self.windows))
        return f'{self.distance} {windows}, L {self.levels}, {self.batch}x3x{self.side}x{self.side}'

    @property
    def lean_bytes(self) -> int:
        return 4 * LEAN_COPIES[self.distance] * self.batch * 3 * self.side**2 * self.levels**2


PAPER = Case('hellinger', (1, 3, 5), 32, 8, 128)


class Bench:
    """Runs measurements in fresh processes and remembers them.

    Args:
        threads: PyTorch's threads.
        repeats: Calls of an engine, of which the fastest counts.
        device: Where the images lie.
    """

    def __init__(self, threads: int, repeats: int, device: str) -> None:
        self.threads, self.repeats, self.device = threads, repeats, device
        self.done: dict[str, dict[str, float]] = {}

    def run(self, what: str, case: Case, tuned: bool = False) -> dict[str, float]:
        """Measure an engine or a materialising form: ``seconds`` and ``bytes``, and the loss as ``value``."""
        # The materialising forms need seconds a call and look at all bins whatever the images are.
        repeats = self.repeats if what not in FORMS else 3 if tuned else 2
        if what in FORMS:
            case = dataclasses.replace(case, neighbours='all_channels', pair='photograph')
        job = {
            'what': what,
            'case': dataclasses.asdict(case),
            'threads': self.threads,
            'repeats': repeats,
            'device': self.device,
        }
        return self._in_process('measure', job, TUNED_ALLOCATOR if tuned else {})

    def count(self) -> dict[str, float]:
        """Count the PyTorch engine's operations: ``launches`` and ``bytes``."""
        return self._in_process('count_operations', self.device, {})

    def _in_process(self, function: str, argument: Any, environment: dict[str, str]) -> dict[str, float]:
        key = json.dumps([function, argument, environment])
        if key not in self.done:
            command = [sys.executable, __file__, function, json.dumps(argument)]
            result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
            if result.returncode:
                raise SystemExit(f'{function} {argument} failed:\n{result.stderr}')
            self.done[key] = json.loads(result.stdout)
        return self.done[key]


# --- the measured process ---------------------------------------------------------------------------------------------


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Time a case: forward and backward pass, and the peak of memory above what was held before the first call."""
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


def count_operations(device: str) -> dict[str, float]:
    """Count what the PyTorch engine does in one call at the paper's batch.

    On a CPU, with the chunks and window sums of a GPU in one thread; views and allocations do not count.

    Returns:
        Operations, each one kernel launch at least, and the bytes that they read and write.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from entropy_sde_plugin.losses.spatial_entropy.pytorch import engine as pytorch_engine

    class Counter(TorchDispatchMode):
        launches = 0
        moved = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            aliases = [value.alias_info for value in func._schema.returns]
            is_view = all(alias is not None and not alias.is_write for alias in aliases)
            if not is_view and not func._schema.name.startswith(('aten::empty', 'entropy_sde::')):
                tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
                self.launches += 1
                self.moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            return result

    torch.set_num_threads(1)
    pytorch_engine.CHUNK_ELEMENTS_CPU = pytorch_engine.CHUNK_ELEMENTS
    pytorch_engine.GROUP_PIXELS_CPU = pytorch_engine.GROUP_PIXELS
    pytorch_engine.WINDOW_SUMS = {}
    images = [image.to(device) for image in _images(PAPER)]
    counter = Counter()
    inside = pytorch_engine.distance_and_gradient

    def counted(*args: Any) -> Any:
        with counter:  # the engine is one operator to PyTorch, which hides what is inside
            return inside(*args)

    pytorch_engine.distance_and_gradient = counted
    with counter:
        _call('torch', PAPER)(*images)
    return {'launches': counter.launches, 'bytes': counter.moved}


def _call(what: str, case: Case) -> Callable[..., float]:
    from _materialising import as_released, lean

    from entropy_sde_plugin.losses.spatial_entropy.functional import spatial_entropy

    options: dict[str, Any] = {
        'distance': case.distance,
        'levels': case.levels,
        'windows': case.windows,
        'neighbour_normalisation': case.neighbours,
    }

    def forward_and_backward(pred: Any, target: Any) -> float:
        pred = pred.detach().requires_grad_()
        if what in FORMS:
            loss = (lean if what == LEAN else as_released)(pred, target, **options)
        else:
            loss = spatial_entropy(pred, target, engine=what, **options)
        loss.backward()
        return loss.item()

    return forward_and_backward


def _images(case: Case) -> list[Any]:
    import numpy as np
    import torch

    from entropy_sde_plugin.demo.photographs import TRAIN, photograph

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
            self.before = resident('VmRSS')
        else:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def above_baseline(self) -> float:
        import torch

        after = resident('VmHWM') if self.device.type == 'cpu' else torch.cuda.max_memory_allocated()
        return max(after - self.before, 1)


if __name__ == '__main__':
    function, argument = sys.argv[1:]
    print(json.dumps({'measure': measure, 'count_operations': count_operations}[function](json.loads(argument))))
