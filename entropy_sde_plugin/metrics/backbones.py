"""Pretrained networks of the metrics: the libraries' own files in torch's cache, or an error; never random weights.

Files are in the folder ``checkpoints`` of ``torch.hub.get_dir()`` (``~/.cache/torch/hub``, or below ``TORCH_HOME``),
and are downloaded if missing, as torchvision does.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision import models

from entropy_sde_plugin.errors import MetricUnavailableError, first_line

__all__ = [
    'FEATURE_URLS',
    'as_batch',
    'cached_file',
    'evaluating_on',
    'evaluation_device',
    'features_file',
    'fetch',
    'inference',
    'torchvision_features',
]

FEATURE_URLS = {
    'alexnet': models.AlexNet_Weights.IMAGENET1K_V1.url,
    'vgg16': models.VGG16_Weights.IMAGENET1K_V1.url,
    'squeezenet1_1': models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url,
}
"""torchvision's builder -> its ImageNet weights, those that LPIPS and DISTS were calibrated on."""


def cached_file(url: str) -> Path:
    """Return the file in torch's cache for ``url``."""
    return Path(torch.hub.get_dir()) / 'checkpoints' / url.rpartition('/')[2]


def features_file(url: str) -> Path:
    """Return where a file with only the convolutions of a network may lie; torchvision offers none."""
    whole = cached_file(url)
    return whole.with_name(f'{whole.stem}.features.pth')


def fetch(url: str) -> Path:
    """Return the file in torch's cache, downloaded if missing.

    Raises:
        MetricUnavailableError: It is missing and cannot be downloaded; the message says which file belongs where.
    """
    file = cached_file(url)
    if not file.exists() and (reason := _failed_download(url, file)):
        raise MetricUnavailableError(f'{file.name} cannot be downloaded ({reason}): get {url} and place it as {file}.')
    return file


# Tried once: an unreachable host can take minutes to time out, for every image.
@functools.cache
def _failed_download(url: str, file: Path) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = file.stem.rpartition('-')[2]  # all these files' names end in the digest
        torch.hub.download_url_to_file(url, str(file), hash_prefix=digest, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        return first_line(error).strip('<>') or type(error).__name__
    return ''


def _features(name: str) -> nn.Module:
    """Return the pretrained convolutions of a network of torchvision, from its file or from :func:`features_file`."""
    url = FEATURE_URLS[name]
    alone = features_file(url)
    file = alone if alone.exists() and not cached_file(url).exists() else fetch(url)
    with torch.device('meta'):  # allocates nothing, and draws no random weights
        network = models.get_model(name, weights=None).features
    try:
        weights = torch.load(file, map_location='cpu', weights_only=True)
        own = {key[len('features.') :]: value for key, value in weights.items() if key.startswith('features.')}
        network.load_state_dict(own, assign=True)
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError):
        raise MetricUnavailableError(f"{file} is damaged or does not hold torchvision's {name}: remove it.") from None
    return network.requires_grad_(False).eval()


@contextmanager
def torchvision_features(module: ModuleType, attribute: str) -> Iterator[None]:
    """Let a library build its metric from pretrained convolutions only.

    ``lpips`` and ``DISTS_pytorch`` build a whole network of torchvision (vgg16: 138 M parameters) and keep
    ``features``. The random numbers of their initialisation do not change the global generators.

    Args:
        module: The library's module.
        attribute: Its name for ``torchvision.models``.

    Raises:
        MetricUnavailableError: In the block: weights cannot be downloaded (see ``fetch``) or are damaged.
    """
    stand_in = SimpleNamespace(
        **{name: lambda pretrained, name=name: SimpleNamespace(features=_features(name)) for name in FEATURE_URLS}
    )
    original = getattr(module, attribute)
    setattr(module, attribute, stand_in)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        setattr(module, attribute, original)


_device: ContextVar[torch.device | None] = ContextVar('device', default=None)


@contextmanager
def evaluating_on(device: torch.device) -> Iterator[None]:
    """Compute the metrics of the block on a device."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def evaluation_device() -> torch.device:
    """The device of :func:`evaluating_on`; outside, as in a training, the current CUDA device or the CPU."""
    return _device.get() or torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@contextmanager
def inference() -> Iterator[None]:
    """Compute without gradients and in float32, without autocast and TF32, whatever a training has set."""
    device = evaluation_device().type
    with (
        torch.no_grad(),
        torch.autocast(device, enabled=False),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        yield


def as_batch(picture: NDArray[np.uint8]) -> torch.Tensor:
    """Return an RGB image (H, W, 3), uint8, as a float32 batch (1, 3, H, W) in 0…1 on the evaluation device."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].to(evaluation_device(), torch.float32) / 255
