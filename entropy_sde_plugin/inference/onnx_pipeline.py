"""From a dark image to a bright one in one ONNX file, for programs without PyTorch. Needs the extra ``onnx``.

The sampler itself is traced: it runs once on small tensors, and every operation on them becomes a node. Samplers only
add, multiply and clamp images element by element, so that the trace holds for images of any size. The network is
exported once; its nodes are copied to each place where the sampler calls it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from entropy_sde_plugin.checkpoints.model import Model
from entropy_sde_plugin.checkpoints.onnx import check_export, exported_network, write_onnx
from entropy_sde_plugin.diffusion.denoiser import NetworkDenoiser
from entropy_sde_plugin.inference.enhancer import Enhancer
from entropy_sde_plugin.inference.enhancer_options import EnhancerOptions

if TYPE_CHECKING:
    import onnx_ir

__all__ = ['IMAGE', 'NOISE', 'RESULT', 'SAMPLER_KEY', 'Samples', 'export_pipeline']

IMAGE, NOISE, RESULT = 'image', 'noise', 'result'

SAMPLER_KEY = 'entropy_sde_sampler'
"""Key of the metadata that holds the sampler and its number of steps as JSON."""

Samples = Literal['uint8', 'float32']
"""Type of the images: 0…255, or 0…1."""

_DOMAIN, _NETWORK = 'entropy_sde', 'Network'

_OPERATORS = {'add': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div', 'neg': 'Neg', 'clamp': 'Clip'}
"""Methods of tensors, and the ONNX operators that compute the same."""

_ZEROS = ('new_zeros', 'zeros_like')
"""Methods whose result does not depend on the tensor's values."""


def export_pipeline(
    model: Model,
    path: str | Path,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    samples: Samples = 'uint8',
) -> int:
    """Write a model and its sampler, the steps unrolled, as one ONNX file; completely or not at all.

    The file's inputs are ``image``, (batch, height, width, 3), RGB, and ``noise``, (draws, batch, 3, height, width),
    float32, standard normal. Its output ``result`` is shaped and typed as ``image``. Batch, height and width are
    dynamic. The result is that of :class:`~entropy_sde_plugin.inference.enhancer.Enhancer` in float32 with the same
    noise and ``brightness='model'``: the network chooses the brightness.

    The first draw makes the state that sampling starts from; each step but the last adds a further one if the sampler
    is stochastic. So ``draws`` is the number of steps for these, and 1 for the others.

    Args:
        model: What to write, on the CPU.
        path: The file to create or replace; its folder exists.
        sampler: Name of a sampler, as of :class:`~.enhancer_options.EnhancerOptions`.
        steps: Network calls for an image, likewise.
        samples: ``'uint8'``, or ``'float32'`` for images in [0, 1].

    Returns:
        ``draws``.

    Raises:
        InputError: As :func:`~entropy_sde_plugin.checkpoints.onnx.export_onnx` and ``Enhancer``.
        OSError: It could not be written.
    """
    path = check_export(model, path)
    options = EnhancerOptions(device='cpu', precision='fp32', sampler=sampler, steps=steps, brightness='model')
    pipeline, draws = _unrolled(Enhancer(model, options), model, samples)
    write_onnx(pipeline, path)
    return draws


def _unrolled(enhancer: Enhancer, model: Model, samples: Samples) -> tuple[onnx_ir.Model, int]:
    """Return the graph of an enhancer's sampler, and how often it draws noise."""
    import onnx_ir as ir
    from onnx_ir.passes.common import CommonSubexpressionEliminationPass, InlinePass, NameFixPass

    network = exported_network(model)
    kind = {'uint8': ir.DataType.UINT8, 'float32': ir.DataType.FLOAT}[samples]
    image, noise = ir.val(IMAGE, kind, ('batch', 'height', 'width', 3)), ir.val(NOISE, ir.DataType.FLOAT)
    graph = ir.Graph([image, noise], [], nodes=[], opset_imports={**network.opset_imports, _DOMAIN: 1}, name='pipeline')
    trace = _Trace(graph)
    weights = _weights_as_inputs(network.graph, graph)
    batch = trace.node('Shape', image, start=0, end=1)
    draws = 0

    def draw(like: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return trace.tensor(trace.node('Gather', noise, trace.constant(torch.tensor(draws - 1))))

    def predict(x: Tensor, cond: Tensor, time: int) -> Tensor:
        times = trace.node('Expand', trace.constant(torch.tensor([float(time)])), batch)
        return trace.tensor(trace.node(_NETWORK, trace.value(x), trace.value(cond), times, *weights, domain=_DOMAIN))

    process, sample = enhancer.process, enhancer.sampler.build()
    planes = trace.tensor(_to_planes(trace, image))
    with trace:
        denoiser = NetworkDenoiser(predict, process, model.prediction)
        sampled = sample(denoiser, process, process.from_unit(planes), enhancer.times, noise=draw)
        unit = process.to_unit(sampled)
    result = _from_planes(trace, trace.value(unit), kind)

    result.name, result.dtype, result.shape = RESULT, kind, image.shape
    noise.shape = ir.Shape((draws, 'batch', 3, 'height', 'width'))
    graph.outputs.append(result)
    chosen = {'type': enhancer.sampler.type, 'steps': enhancer.sampler.steps}
    pipeline = ir.Model(
        graph,
        ir_version=network.ir_version,
        functions=[ir.Function(_DOMAIN, _NETWORK, graph=network.graph, attributes=[])],
        metadata_props=model.metadata | {SAMPLER_KEY: json.dumps(chosen)},
    )
    InlinePass()(pipeline)
    CommonSubexpressionEliminationPass()(pipeline)  # what all steps share is computed once
    NameFixPass()(pipeline)
    del pipeline.opset_imports[_DOMAIN]
    return pipeline, draws


def _weights_as_inputs(network: onnx_ir.Graph, pipeline: onnx_ir.Graph) -> list[onnx_ir.Value]:
    """Move a network's weights to the graph that calls it, since ONNX functions hold none; return the moved ones."""
    import onnx_ir

    weights = list(network.initializers.values())
    network.initializers.clear()
    network.inputs.extend(weights)
    moved = [onnx_ir.val(each.name, each.dtype, each.shape, const_value=each.const_value) for each in weights]
    for weight in moved:
        pipeline.register_initializer(weight)
    return moved


class _Trace(TorchFunctionMode):
    """Within its block, operations on tensors that represent values of a graph become nodes of it.

    Numbers and other tensors in these operations become constants.

    Args:
        graph: The graph, to which nodes are added.
    """

    def __init__(self, graph: onnx_ir.Graph) -> None:
        super().__init__()
        import onnx_ir

        self._ir, self._tape = onnx_ir, onnx_ir.tape.Tape(graph)
        self._values: dict[int, tuple[Tensor, onnx_ir.Value]] = {}  # a tensor that is kept keeps its id
        self._constants: dict[tuple[Any, ...], onnx_ir.Value] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        is_traced = any(id(argument) in self._values for argument in args)
        if not is_traced or not isinstance(result, Tensor) or func.__name__ in _ZEROS:
            return result
        if func.__name__ not in _OPERATORS or kwargs:
            raise NotImplementedError(f'no ONNX operator for {func.__name__}({", ".join(kwargs or ())})')
        value = self.node(_OPERATORS[func.__name__], *map(self.value, args))
        self._values[id(result)] = result, value
        return result

    def node(self, operator: str, *inputs: onnx_ir.Value, domain: str = '', **attributes: Any) -> onnx_ir.Value:
        """Add a node; return its output."""
        return self._tape.op(operator, inputs, attributes, domain=domain)

    def tensor(self, value: onnx_ir.Value) -> Tensor:
        """Return a tensor that represents a value: images, whose size and content mean nothing."""
        stand_in = torch.zeros(1, 3, 2, 2)
        self._values[id(stand_in)] = stand_in, value
        return stand_in

    def value(self, operand: Tensor | float) -> onnx_ir.Value:
        """Return the value of a tensor; a constant for any other tensor or number."""
        if id(operand) in self._values:
            return self._values[id(operand)][1]
        return self.constant(torch.as_tensor(operand, dtype=torch.float32))

    def constant(self, content: Tensor) -> onnx_ir.Value:
        """Return a constant of the graph."""
        array = content.numpy()
        key = array.dtype, array.shape, array.tobytes()
        if key not in self._constants:
            name = f'constant_{len(self._constants)}'
            self._constants[key] = self._tape.initializer(self._ir.tensor(array, name=name))
        return self._constants[key]


def _to_planes(trace: _Trace, image: onnx_ir.Value) -> onnx_ir.Value:
    """From (batch, height, width, 3), uint8 or float, to (batch, 3, height, width) in [0, 1]."""
    import onnx_ir

    planes = trace.node('Transpose', image, perm=[0, 3, 1, 2])
    if image.dtype == onnx_ir.DataType.FLOAT:
        return planes
    return trace.node('Div', trace.node('Cast', planes, to=onnx_ir.DataType.FLOAT), trace.value(255.0))


def _from_planes(trace: _Trace, planes: onnx_ir.Value, kind: onnx_ir.DataType) -> onnx_ir.Value:
    """The way back, rounded for uint8."""
    import onnx_ir

    if kind != onnx_ir.DataType.FLOAT:
        levels = trace.node('Round', trace.node('Mul', planes, trace.value(255.0)))
        planes = trace.node('Cast', levels, to=kind)
    return trace.node('Transpose', planes, perm=[0, 2, 3, 1])
