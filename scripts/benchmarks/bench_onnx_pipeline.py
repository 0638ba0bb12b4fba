"""The exported pipeline in float32, float16 and int8: size, time and error.

    pip install '.[onnx]'
    python scripts/benchmarks/bench_onnx_pipeline.py

Brightens a 600x400 photograph by onnxruntime on one core. The errors are those against float32, in levels of 255.
float16 is onnxruntime's conversion of the whole graph; int8 its dynamic quantisation, without calibration images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import inliner
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from entropy_sde_plugin.checkpoints.model import load_model
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.inference.onnx_pipeline import IMAGE, NOISE, export_pipeline
from entropy_sde_plugin.utils.resources import packaged_model


def main() -> None:
    """Print a row for each precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, default=packaged_model(), help="weights [the package's]")
    parser.add_argument('--steps', type=int, default=8, help='network calls [%(default)s]')
    options = parser.parse_args()
    image = (photograph('coffee')[:400, :600] // 8)[None]
    print('| precision | MB | core-s | greatest error | mean error |')
    print('|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        draws, files = write_variants(options.model, options.steps, Path(folder))
        noise = np.random.default_rng(0).standard_normal((draws, 1, 3, *image.shape[1:3]), np.float32)
        exact: NDArray[np.int16] | None = None
        for name, file in files.items():
            result, seconds = brighten(file, image, noise)
            exact = result if exact is None else exact
            error = np.abs(result - exact)
            size = file.stat().st_size / 1e6
            print(f'| {name} | {size:.1f} | {seconds:.1f} | {error.max()} | {error.mean():.2f} |', flush=True)


def write_variants(model: Path, steps: int, folder: Path) -> tuple[int, dict[str, Path]]:
    """Write the pipeline in each precision; return the number of its noise draws, and the files by precision."""
    files = {name: folder / f'{name}.onnx' for name in ('float32', 'float16', 'int8')}
    draws = export_pipeline(load_model(model), files['float32'], steps=steps)
    # Both converters pass over the functions of a file, and the network is one.
    flat = inliner.inline_local_functions(onnx.load(files['float32']))
    onnx.save(flat, folder / 'flat.onnx')
    quantize_dynamic(folder / 'flat.onnx', files['int8'], weight_type=QuantType.QUInt8)
    onnx.save(convert_float_to_float16(flat, keep_io_types=True), files['float16'])
    return draws, files


def brighten(file: Path, image: NDArray[np.uint8], noise: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Run a pipeline on one core; return its result, 0…255, and the core-seconds."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings)
    start = time.process_time()
    (result,) = session.run(None, {IMAGE: image, NOISE: noise})
    return np.asarray(result).astype(np.int16), time.process_time() - start


if __name__ == '__main__':
    main()
