"""A model to validate, in one process or, run by torchrun, in two: ``python -m … tests.support.validation FOLDER``."""

import json
import sys
from pathlib import Path
from typing import ClassVar

import torch
from basicsr.models import build_model
from basicsr.utils.dist_util import get_dist_info
from basicsr.utils.registry import ARCH_REGISTRY, METRIC_REGISTRY
from torch.utils.data import DataLoader, Dataset

from entropy_sde_plugin.errors import MetricUnavailableError


class RunningMean:
    """A metric of a set that knows the order of its images."""

    def __init__(self, weight):
        self.weight, self.value = weight, 0.0

    def update(self, img, img2):
        self.value = self.weight * self.value + float((img.astype(float) - img2).mean())

    def compute(self):
        return self.value


@METRIC_REGISTRY.register()
def running_mean(img, img2, weight, **_):
    raise AssertionError('a set metric is not asked about an image')


running_mean.set_metric = RunningMean


@METRIC_REGISTRY.register()
def unavailable(img, img2, **_):
    raise MetricUnavailableError('there are no weights')


@METRIC_REGISTRY.register()
def faulty(img, img2, **_):
    """Fails for one image, that whose truth is brightest."""
    if img2.mean() > 180:
        raise ZeroDivisionError('a metric of these tests')
    return 1


@ARCH_REGISTRY.register()
class BufferedNetwork(torch.nn.Module):
    """Running statistics, which every process of a training keeps for itself."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(6, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.last = torch.nn.Conv2d(8, 3, 1)

    def forward(self, x, cond, t):
        return self.last(self.norm(self.first(torch.cat([x, cond], 1))).relu())


class Pictures(Dataset):
    """Random images, the brighter the higher their number, in ``gt``; dark in ``lq``."""

    opt: ClassVar = {'name': 'pictures'}

    def __init__(self, size, truth=True):
        self.size, self.truth = size, truth

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        gt = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index)) * 0.4 + 0.15 * index
        pictures = {'lq': 0.2 * gt, 'gt': gt.clamp(0, 1)} if self.truth else {'lq': 0.2 * gt}
        return {**pictures, 'lq_path': f'picture{index}.png'}


METRICS = {
    'psnr': {'type': 'calculate_psnr', 'crop_border': 0},
    'running': {'type': 'running_mean', 'weight': 0.5, 'better': 'lower'},
}


def options(folder, metrics=METRICS, **val):
    """Options of an IRSDEModel in training, without an average of its weights."""
    rank, world_size = get_dist_info()
    return {
        'name': 'test',
        'model_type': 'IRSDEModel',
        'num_gpu': 0,
        'manual_seed': 3,
        'dist': world_size > 1,
        'rank': rank,
        'world_size': world_size,
        'is_train': True,
        'sde': {'T': 20},
        'prediction': 'x0',
        'sampler': {'steps': 3},
        'network_g': {'type': 'BufferedNetwork'},
        'path': {'experiments_root': str(folder), 'visualization': str(folder / 'visualization')},
        'train': {
            'optim_g': {'type': 'Adam', 'lr': 1e-2},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [100]},
            'total_iter': 100,
            'pixel_opt': {'type': 'L1Loss'},
            'objective': 'x0',
        },
        'val': {'metrics': metrics, **val},
    }


def validate(model, folder, pictures=5, iteration=1):
    """Validate into a folder of its own."""
    folder.mkdir(exist_ok=True)
    model.opt['path']['experiments_root'] = str(folder)
    model.validation(DataLoader(Pictures(pictures)), iteration, None)


def train(model, iteration):
    """One step, on another batch in every process."""
    items = [Pictures(4)[i + 2 * model.opt['rank']] for i in (0, 1)]
    batch = {kind: torch.stack([item[kind] for item in items]) for kind in ('lq', 'gt')}
    model.feed_data({**batch, 'lq_path': ['a', 'b']})
    model.optimize_parameters(iteration)


def main(folder):
    """Train, validate, train, validate one image and fail, in the processes that torchrun started."""
    from basicsr.utils.dist_util import init_dist

    init_dist('pytorch')
    rank, _ = get_dist_info()
    torch.manual_seed(0)
    model = build_model(options(folder, seeds=[0, 7]))
    train(model, 1)
    validate(model, folder / 'two')
    if rank == 0:
        torch.save(model.get_bare_model(model.net_g).state_dict(), folder / 'weights.pth')
    train(model, 2)
    validate(model, folder / 'single_picture', pictures=1)
    model.opt['val']['metrics'] = {'faulty': {'type': 'faulty'}}
    try:
        validate(model, folder / 'failed')
    except (RuntimeError, ZeroDivisionError) as error:
        failure = f'{type(error).__name__}: {error}'
    parameters = torch.cat([p.flatten() for p in model.net_g.parameters()]).double().sum().item()
    (folder / f'rank{rank}.json').write_text(json.dumps({'failure': failure, 'parameters': parameters}))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
