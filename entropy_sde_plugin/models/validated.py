"""Validation and test of a BasicSR model, distributed over its processes and recorded."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, tensor2img
from torch import nn

from entropy_sde_plugin.data.images import RGBImage, encode_png
from entropy_sde_plugin.errors import MetricUnavailableError, printable
from entropy_sde_plugin.evaluation.kept_pictures import kept_picture
from entropy_sde_plugin.evaluation.records import file_sha256, weights_sha256, write_records
from entropy_sde_plugin.evaluation.scoring import Scorer
from entropy_sde_plugin.evaluation.validator import Restoration, Summary, Validation, validate
from entropy_sde_plugin.utils import signals
from entropy_sde_plugin.utils.atomic_file import write_file
from entropy_sde_plugin.utils.distributed import on_first_process

__all__ = ['ValidatedModel']


class ValidatedModel(SRModel):
    """An SRModel that shards validation over its processes and leaves ``metrics.csv`` and ``run.json``
    (:mod:`entropy_sde_plugin.evaluation.records`).

    BasicSR's log lines, best values and TensorBoard scalars do not change. With ``val.seeds`` the set is
    restored under each of them: the values are means, their standard deviation between seeds is logged beside them, and
    the images are those of the first. A metric that cannot run is ``n/a``, and says why once.

    A subclass restores in ``test`` what ``feed_data`` took. The result may depend on the image, its ``key`` (the names
    of the set and of the image in it) and the seed, and on nothing else.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self._given = copy.deepcopy(opt)  # BasicSR takes entries out of the sections it has used
        self._warned: set[str] = set()
        super().__init__(opt)

    @property
    def sampler_settings(self) -> dict[str, Any]:
        """The sampler's settings, for the records; ``seed`` applies unless ``val.seeds`` is given."""
        raise NotImplementedError

    @property
    def shown_settings(self) -> dict[str, str]:
        """Settings to show with every figure, in the log and in ``metrics.csv``."""
        return {}

    def use_seed(self, seed: int) -> None:
        """Sample with this seed from here on."""
        raise NotImplementedError

    def dist_validation(self, dataloader: Any, current_iter: Any, tb_logger: Any, save_img: bool) -> None:
        """Validate; called in every process.

        Args:
            dataloader: Loader of the set.
            current_iter: Iteration of the training; the run's name in a test.
            tb_logger: TensorBoard's writer, on the first process, or None.
            save_img: Whether to keep the images.

        Raises:
            InputError: The set is empty, or lacks the truth that a metric compares with.
            WriteError: An image or the record could not be written.
        """
        val, settings = self.opt['val'], self.sampler_settings
        name = printable(dataloader.dataset.opt['name'])
        self._share_buffers()
        try:
            validation = validate(
                dataloader,
                functools.partial(self._restore, name),
                Scorer(val),
                val.get('seeds') or (settings['seed'],),
                progress=val.get('pbar', False),
                save=(lambda image, picture: _save(picture, self._picture_path(image, name, current_iter)))
                if save_img
                else None,
            )
        finally:
            self.use_seed(settings['seed'])
        if val.get('metrics'):
            self._publish(validation, current_iter, tb_logger)
        on_first_process(lambda: self._record(validation, current_iter if self.is_train else None, settings))

    nondist_validation = dist_validation

    def _restoring_network(self) -> nn.Module:
        return self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)

    def _share_buffers(self) -> None:
        """Give all processes the buffers of the first: running statistics differ between processes, and those of the
        first are saved."""
        if self.opt['dist']:
            for buffer in self._restoring_network().buffers():
                torch.distributed.broadcast(buffer, src=0)

    def _restore(self, dataset: str, data: dict[str, Any], seed: int) -> Restoration:
        (key,) = data['key']
        signals.check()
        self.use_seed(seed)
        self.feed_data({**data, 'key': [f'{dataset}/{key}']})
        # BasicSR lets cuDNN choose algorithms by their speed, differently in every process.
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32
        ):
            self.test()
        restoration = self.restoration(key)
        for used in ('lq', 'gt', 'output'):  # room for the next image
            if hasattr(self, used):
                delattr(self, used)
        return restoration

    def restoration(self, name: str) -> Restoration:
        """Return the restored image with its name, in the form that metrics and image files need."""
        visuals = self.get_current_visuals()
        pictures = {kind: tensor2img([visuals[kind]]) for kind in ('result', 'gt') if kind in visuals}
        unrounded = tensor2img([visuals['result']], out_type=np.float32)
        return Restoration(name, pictures['result'], pictures.get('gt'), unrounded)

    def _picture_path(self, image: str, dataset: str, current_iter: Any) -> Path:
        label = current_iter if self.is_train else self.opt['val'].get('suffix') or self.opt['name']
        folder = Path(self.opt['path']['visualization'])
        return kept_picture(folder, dataset, image, label, training=self.is_train)

    def _publish(self, validation: Validation, current_iter: Any, tb_logger: Any) -> None:
        """Log the means, keep the best, and hand both to TensorBoard, as BasicSR does."""
        self._initialize_best_metric_results(validation.dataset)
        self.metric_results = {}
        settings = ', '.join(f'{name}: {value}' for name, value in self.shown_settings.items())
        lines = [f'Validation {validation.dataset}{f" ({settings})" if settings else ""}\n']
        for key in self.opt['val']['metrics']:
            summary = validation.summary(key)
            if isinstance(summary, MetricUnavailableError):
                lines.append(f'\t # {key}: n/a\n')
                self._warn_once(f'val.metrics.{key} is n/a: {summary}')
                continue
            self.metric_results[key] = summary.mean
            self._update_best_metric_result(validation.dataset, key, summary.mean, current_iter)
            best = self.best_metric_results[validation.dataset][key]
            lines.append(f'\t # {key}: {_shown(summary)}\tBest: {best["val"]:.4f} @ {best["iter"]} iter\n')
            if tb_logger:
                tb_logger.add_scalar(f'metrics/{validation.dataset}/{key}', summary.mean, current_iter)
        get_root_logger().info(''.join(lines))

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            get_root_logger().warning(message)

    def _record(self, validation: Validation, iteration: int | None, settings: dict[str, Any]) -> None:
        path = self.opt['path']
        file = None if self.is_train else path.get('pretrain_network_g')
        run = {
            'name': self.opt['name'],
            'options': self._given,
            'sampler': settings,
            'device': torch.cuda.get_device_name(self.device) if self.device.type == 'cuda' else 'cpu',
        }
        made_with = {
            'weights_sha256': weights_sha256(self._restoring_network().state_dict()),
            'weights_file': file,
            'weights_file_sha256': file and self._file_sha256(file),
        }
        folder = Path(path['experiments_root' if self.is_train else 'results_root'])
        write_records(folder, validation, iteration, run, made_with, self.shown_settings)

    def _file_sha256(self, file: str) -> str:
        read = getattr(self.opt, 'weights', None)  # by the checks before the run
        known = read.sha256 if read is not None and read.path == Path(file) else None
        return known or file_sha256(file)


def _save(picture: RGBImage, path: Path) -> None:
    """Write an image (H, W, 3), BGR, as PNG, whole or not at all: BasicSR's ``imwrite`` may leave a part."""
    write_file(path, encode_png(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)))


def _shown(summary: Summary) -> str:
    return f'{summary.mean:.4f}' if summary.std is None else f'{summary.mean:.4f} ± {summary.std:.4f}'
