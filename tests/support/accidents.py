"""The trainer, with a loss and a metric that bring accidents about at a known moment: ``python -m … -opt FILE``."""

import os
import shutil
import signal
import time

import torch
from basicsr.losses.basic_loss import L1Loss
from basicsr.metrics.psnr_ssim import calculate_psnr
from basicsr.utils.registry import LOSS_REGISTRY, METRIC_REGISTRY

from entropy_sde_plugin import train
from entropy_sde_plugin.utils import signals


def happen(what, to='process'):
    """Send a signal to this process, to its group as Ctrl-C does, or to torchrun, and wait for it; or fail; or remove
    a folder."""
    if what == 'error':
        raise RuntimeError('an accident of these tests')
    if what == 'removal':
        shutil.rmtree(to)
        return
    number = getattr(signal, what)
    if to == 'group':
        os.killpg(os.getpgrp(), number)
    else:
        os.kill(os.getppid() if to == 'torchrun' else os.getpid(), number)
    while not signals.received():
        time.sleep(0.01)


@LOSS_REGISTRY.register()
class AccidentL1(L1Loss):
    """L1; the accidents happen in a step of this process, counted from 1."""

    def __init__(self, step, accidents, loss_weight=1.0, reduction='mean'):
        super().__init__(loss_weight, reduction)
        self.step, self.accidents, self.calls = step, accidents, 0

    def forward(self, pred, target, weight=None, **kwargs):
        self.calls += 1
        first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        if self.calls == self.step and first:
            for accident in self.accidents:
                happen(**accident)
        return super().forward(pred, target, weight, **kwargs)


@METRIC_REGISTRY.register()
def accident_psnr(img, img2, what, crop_border, **kwargs):
    """PSNR; the accident happens with the first image."""
    if not signals.received():
        happen(what)
    return calculate_psnr(img, img2, crop_border, **kwargs)


if __name__ == '__main__':
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job of a shell ignores
    train.main()
