"""Fixes for BasicSR's base models: optimisers, processes without CUDA, saving and resuming, validation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import basicsr.utils.img_util
import cv2
import torch
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info, master_only
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from entropy_sde_plugin.checkpoints import files
from entropy_sde_plugin.checkpoints.resume import network_files
from entropy_sde_plugin.checkpoints.weights import load_into, load_weights
from entropy_sde_plugin.checkpoints.weights_file import Weights
from entropy_sde_plugin.compat.patching import is_ours, mentions, replace
from entropy_sde_plugin.errors import InputError, suggestion
from entropy_sde_plugin.options.optimisation import optimisers
from entropy_sde_plugin.training import run
from entropy_sde_plugin.utils import random_state, signals
from entropy_sde_plugin.utils.atomic_file import write_file
from entropy_sde_plugin.utils.distributed import on_first_process
from entropy_sde_plugin.utils.paths import opens_as_utf8

__all__ = [
    'patch_dist_validation',
    'patch_get_optimizer',
    'patch_imwrite',
    'patch_load_network',
    'patch_model_to_device',
    'patch_resuming',
    'patch_saving',
    'patch_steps',
    'patch_validation',
]


def patch_get_optimizer() -> None:
    """Know every optimiser of ``torch.optim``.

    P base_model.py:103. Symptom: ``NotImplementedError: optimizer AdamW is not supperted yet.``
    """
    if not mentions(BaseModel.get_optimizer, 'AdamW'):
        BaseModel.get_optimizer = get_optimizer


def get_optimizer(self: BaseModel, optim_type: str, params: Any, lr: float, **kwargs: Any) -> torch.optim.Optimizer:
    """Build ``torch.optim.<optim_type>``."""
    known: dict[str, Any] = optimisers()
    if optim_type not in known:
        raise InputError(f"Optimiser '{optim_type}' does not exist. {suggestion(optim_type, known)}")
    return known[optim_type](params, lr=lr, **kwargs)


def patch_model_to_device() -> None:
    """Let several processes share a model on the CPU.

    P+M base_model.py:97. Symptom: ``torch.cuda.current_device()`` fails in every process of a CPU machine.
    """
    original = BaseModel.model_to_device
    if not mentions(original, 'current_device'):
        return

    def model_to_device(self: BaseModel, net: nn.Module) -> nn.Module:
        if not self.opt['dist'] or torch.cuda.is_available():
            return original(self, net)
        find_unused_parameters = self.opt.get('find_unused_parameters', False)
        return DistributedDataParallel(net.to(self.device), find_unused_parameters=find_unused_parameters)

    BaseModel.model_to_device = model_to_device


def patch_load_network() -> None:
    """Read weights from whichever entry holds them; report in one line a file that is unreadable or of another network.

    P+M base_model.py:242, 275. Symptoms: ``KeyError: 'params'`` for ``{'state_dict': …}`` as other projects save it; a
    warning for every key that differs, then torch's line for every one.
    """
    if not is_ours(BaseModel.load_network):
        BaseModel.load_network = load_network
        BaseModel.take_weights = take_weights


def load_network(
    self: BaseModel, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = 'params'
) -> None:
    """Put the weights of a file into a network."""
    self.take_weights(net, load_weights(load_path, param_key), load_path, strict)


def take_weights(self: BaseModel, net: nn.Module, read: Weights, load_path: str, strict: bool) -> None:
    """Put weights that have been read into a network; in part, with a warning for each key, if not ``strict``."""
    bare = self.get_bare_model(net)
    entry = f' [{read.entry}]' if read.entry else ''
    get_root_logger().info(f'Loading {type(bare).__name__} from {load_path}{entry}.')
    if not strict:
        self._print_different_keys_loading(bare, read.state, strict)
    try:
        load_into(bare, read.state, type(bare).__name__, strict=strict)
    except InputError as error:
        raise InputError(f"Weights '{load_path}': {error}") from None


def patch_saving() -> None:
    """Save checkpoints whole, or fail; and with all that a training resumes from.

    P+M base_model.py:208–303. Symptoms: a kill while saving leaves a cut-off file under the final name; three failures
    to write end in ``Just ignore it``, and the training continues without checkpoints; a resumed run begins its epoch
    anew, with other random numbers, and has forgotten its best metrics.
    """
    if mentions(BaseModel.save_network, '. Just ignore it.'):
        BaseModel.save_network = save_network
    if not is_ours(BaseModel.save_training_state):
        BaseModel.save_training_state = save_training_state
        BaseModel.state_entries = state_entries


@master_only
def save_network(
    self: BaseModel, net: Any, net_label: str, current_iter: int, param_key: str | list[str] = 'params'
) -> None:
    """Save networks under their parameter keys into ``<models>/<net_label>_<iteration or 'latest'>.pth``."""
    nets, keys = (value if isinstance(value, list) else [value] for value in (net, param_key))
    networks = {key: self.get_bare_model(network) for network, key in zip(nets, keys, strict=True)}
    files.save_networks(self.opt['path']['models'], net_label, current_iter, networks)


def save_training_state(self: BaseModel, epoch: int, current_iter: int) -> None:
    """Save epoch, iteration, optimisers and schedulers into ``<training_states>/<iteration>.state``, with what the
    model and the run add, and the fingerprints of the networks that were saved before; called in every process."""
    if current_iter == -1:
        return
    entries = self.state_entries()
    running = run.current()
    if running is not None:
        entries['run'] = running.entries(self, current_iter)
    if get_dist_info()[0] == 0:
        saved = [path for path in network_files(self.opt, current_iter) if path.is_file()]
        entries['networks'] = {path.name: files.fingerprint(path) for path in saved}
        folder = self.opt['path']['training_states']
        files.save_training_state(folder, epoch, current_iter, self.optimizers, self.schedulers, **entries)
    if running is not None:
        running.note_saved(current_iter)


def state_entries(self: BaseModel) -> dict[str, Any]:
    """What a model's training state holds besides BasicSR's; models of this package add theirs."""
    return {}


def patch_resuming() -> None:
    """Restore what ``save_training_state`` adds.

    P+M base_model.py:316: loads optimisers and schedulers. Symptoms as of ``patch_saving``.
    """
    original = BaseModel.resume_training
    if is_ours(original):
        return

    def resume_training(self: BaseModel, resume_state: dict[str, Any]) -> None:
        running = run.current()
        if running is not None:
            running.compare(resume_state)
        original(self, resume_state)
        if running is not None:
            running.restore(self, resume_state)

    BaseModel.resume_training = resume_training


def patch_steps() -> None:
    """Stop and save between two steps when a signal has come.

    P+M train.py:166: the first thing that the pipeline does in an iteration. Symptom: a signal ends the training with
    all that was learned since the last checkpoint.
    """
    original = BaseModel.update_learning_rate
    if is_ours(original):
        return

    def update_learning_rate(self: BaseModel, current_iter: int, warmup_iter: int = -1) -> None:
        if (running := run.current()) is not None:
            running.before_step(self, current_iter)
        original(self, current_iter, warmup_iter)

    BaseModel.update_learning_rate = update_learning_rate


def patch_dist_validation() -> None:
    """Validate on the bare network where only the first process validates.

    P+M sr_model.py:129. Symptom: with buffers and without EMA, calling the DistributedDataParallel module on one
    process puts the collectives out of step: ``Connection closed by peer``, or a hang. An error or a
    signal that ends the validation now reaches the other processes too.
    """
    original = SRModel.dist_validation
    if is_ours(original):
        return

    def dist_validation(self: SRModel, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool) -> None:
        wrapped = self.net_g
        self.net_g = self.get_bare_model(wrapped)
        try:
            on_first_process(lambda: original(self, dataloader, current_iter, tb_logger, save_img))
        finally:
            self.net_g = wrapped

    SRModel.dist_validation = dist_validation


def patch_imwrite() -> None:
    """Write images under every name.

    P+M img_util.py:151. Symptom: with ``val.save_img``, an image or a run whose name is not UTF-8 ends the process with
    a segmentation fault in OpenCV.
    """
    original = basicsr.utils.img_util.imwrite
    if is_ours(original):
        return

    def imwrite(img: Any, file_path: str, params: Any = None, auto_mkdir: bool = True) -> None:
        if opens_as_utf8(file_path):
            return original(img, file_path, params, auto_mkdir)
        _, encoded = cv2.imencode(Path(file_path).suffix, img, params or ())
        return write_file(file_path, encoded.tobytes())

    replace(original, imwrite)


def patch_validation() -> None:
    """Give the last validation the number of the last iteration; keep validations out of the training's random numbers;
    leave them when a signal has come.

    P+M train.py:207. Symptoms: a training of 1000 iterations reports its last validation as iteration 1001; a model or
    a metric that draws makes the training depend on ``val_freq``.
    """
    original = BaseModel.validation
    if is_ours(original):
        return

    def validation(self: BaseModel, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool = False) -> None:
        if self.is_train:
            current_iter = min(current_iter, int(self.opt['train']['total_iter']))
        try:
            with random_state.preserved():
                original(self, Interruptible(dataloader), current_iter, tb_logger, save_img)
        except signals.InterruptionError:
            running = run.current()
            assert running is not None
            running.interrupted(self, current_iter)

    BaseModel.validation = validation


class Interruptible:
    """A validation loader that ends with an ``InterruptionError`` between two images once a signal has come."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for data in self._loader:
            signals.check()
            yield data
