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
from collections.abc import Callable
from typing import Any

import torch

from entropy_sde_plugin.benchmark.loss_cases import PAPER, Case
from entropy_sde_plugin.benchmark.memory import PeakMemory
from entropy_sde_plugin.benchmark.timing import seconds

ENGINES = ('torch', 'native')
#: The materialising forms of `_materialising.py`.
RELEASED, LEAN = FORMS = ('as released', 'lean')
#: One huge arena that is never given back: page faults fall away after the first call.
TUNED_ALLOCATOR = {'MALLOC_MMAP_THRESHOLD_': str(1 << 40), 'MALLOC_TRIM_THRESHOLD_': str(1 << 40)}
#: Copies of (L^2, pixels) floats that the lean form holds at its peak, measured where it fits.
LEAN_COPIES = {'hellinger': 12, 'relative_entropy': 9}


def lean_bytes(case: Case) -> int:
    """Memory that the lean form needs."""
    return 4 * LEAN_COPIES[case.distance] * case.batch * 3 * case.side**2 * case.levels**2


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
    torch.set_num_threads(job['threads'])
    case = Case(**{**job['case'], 'windows': tuple(job['case']['windows'])})
    device = torch.device(job['device'])
    call = _call(job['what'], case)
    images = [image.to(device) for image in case.images()]
    warm_up = dataclasses.replace(case, levels=8, windows=(3,))
    _call(job['what'], warm_up)(*(image[:1, :, :16, :16].contiguous() for image in images))
    memory = PeakMemory(device)
    values: list[float] = []
    times = [seconds(lambda: values.append(call(*images))) for _ in range(job['repeats'])]
    return {'seconds': min(times), 'bytes': memory.above_baseline(), 'value': values[-1]}


def count_operations(device: str) -> dict[str, float]:
    """Count what the PyTorch engine does in one call at the paper's batch.

    On a CPU, with the chunks and window sums of a GPU in one thread; views and allocations do not count.

    Returns:
        Operations, each one kernel launch at least, and the bytes that they read and write.
    """
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
    images = [image.to(device) for image in PAPER.images()]
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

    def forward_and_backward(pred: Any, target: Any) -> float:
        pred = pred.detach().requires_grad_()
        if what in FORMS:
            loss = (lean if what == LEAN else as_released)(pred, target, **case.options)
        else:
            loss = spatial_entropy(pred, target, engine=what, **case.options)
        loss.backward()
        return loss.item()

    return forward_and_backward


if __name__ == '__main__':
    function, argument = sys.argv[1:]
    print(json.dumps({'measure': measure, 'count_operations': count_operations}[function](json.loads(argument))))
