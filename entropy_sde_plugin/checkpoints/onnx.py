"""The network as an ONNX file, for runtimes without PyTorch. Needs the extra ``onnx``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from entropy_sde_plugin.checkpoints.model import Model
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.networks.architectures import architecture_of_network
from entropy_sde_plugin.utils.atomic_file import atomic_file, output_path
from entropy_sde_plugin.utils.extras import needs_extra

if TYPE_CHECKING:
    import onnx_ir

__all__ = ['INPUTS', 'OUTPUT', 'check_export', 'export_onnx', 'exported_network', 'write_onnx']

INPUTS = ('x', 'cond', 'time')
OUTPUT = 'prediction'

LARGEST = 2**31
"""Maximum size of an ONNX file, a protocol buffer, in bytes."""


def export_onnx(model: Model, path: str | Path) -> None:
    """Write a model's network as ONNX, with its settings in the metadata; completely or not at all.

    The file's inputs are those of :meth:`ConditionalNAFNet.forward`, float32: ``x`` and ``cond``, (batch, C, height,
    width), and ``time``, (batch,), the raw time t; its output ``prediction`` is shaped as ``x``. Batch, height and
    width are dynamic. ``metadata_props`` holds the SDE's settings as JSON under
    :data:`~entropy_sde_plugin.checkpoints.weights_file.SETTINGS_KEY`.

    Args:
        model: What to write, on the CPU.
        path: The file to create or replace; its folder exists.

    Raises:
        InputError: The model restores raw images, the extra is not installed, the name does not end in ``.onnx``, the
            folder is missing, or the weights fill 2 GiB or more.
        OSError: It could not be written.
    """
    path = check_export(model, path)
    write_onnx(exported_network(model), path)


def check_export(model: Model, path: str | Path) -> Path:
    """Check what can be checked before the work.

    Args:
        model: What is to be written.
        path: The file to create or replace.

    Returns:
        The path.

    Raises:
        InputError: As :func:`export_onnx`.
    """
    _ = model.diffusion  # raises where there is none: networks of raw images have other inputs
    path = output_path(path, '.onnx')
    with needs_extra('onnx'):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    if sum(p.numel() * p.element_size() for p in model.network.parameters()) >= LARGEST:
        raise InputError('The weights fill 2 GiB or more, too large for an ONNX file: export a smaller network.')
    return path


def exported_network(model: Model) -> onnx_ir.Model:
    """Return a model's network with the inputs, the output and the metadata of :func:`export_onnx`."""
    # Sizes of 0 and 1 would become constants. The same tensor as x and cond would become a single input.
    x, cond = (
        torch.zeros(2, architecture_of_network(model.network).channels(model.network), 19, 21) for _ in INPUTS[:2]
    )
    size = {0: 'batch', 2: 'height', 3: 'width'}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # x and cond share their sizes, which the exporter warns of
        program = torch.onnx.export(
            model.network,
            (x, cond, torch.ones(2)),
            dynamo=True,
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_shapes={'x': size, 'cond': size, 'time': {0: size[0]}},
            verbose=False,
        )
    assert program is not None
    exported = program.model
    exported.graph.outputs[0].shape = exported.graph.inputs[0].shape  # else it says min(height, …)
    for part in (exported.graph, *exported.graph.all_nodes()):
        part.metadata_props.clear()  # the exporter's notes, which contain file names of this machine
    exported.metadata_props.update(model.metadata)
    return exported


def write_onnx(exported: onnx_ir.Model, path: Path) -> None:
    """Write a graph with its weights into one file; completely or not at all.

    Raises:
        OSError: It could not be written.
    """
    import onnx_ir  # of the extra

    with atomic_file(path) as file:
        file.write(onnx_ir.to_proto(exported).SerializeToString())
