"""A training in the processes that torchrun started: ``python -m … tests.support.training FOLDER``."""

import json
import sys
from pathlib import Path

import torch
from basicsr.utils.dist_util import get_dist_info, init_dist

from tests.support.irsde import batch, model, same, weights

PLAIN_DESCENT = {'train__optim_g': {'type': 'SGD', 'lr': 1e-3}}


class InfiniteValue(torch.nn.Module):
    """A loss whose value is infinite and whose gradient is not."""

    def forward(self, predicted, target):
        return (predicted - target).abs().mean() + float('inf')


def main(folder):
    """One step in parts, on a share of four images; then one whose loss is infinite in the second process alone."""
    init_dist('pytorch')
    rank, world_size = get_dist_info()
    m = model(dist=True, rank=rank, world_size=world_size, train__accumulate_steps=2, **PLAIN_DESCENT)
    share = {key: value[rank::world_size] for key, value in batch(size=4).items()}
    m.feed_data(share)
    m.optimize_parameters(1)
    before = weights(m.get_bare_model(m.net_g))
    if rank == 0:
        torch.save(before, folder / 'weights.pth')
    if rank == 1:
        m.cri_pix = InfiniteValue()
    m.feed_data(share)
    m.optimize_parameters(2)
    unchanged = same(before, weights(m.get_bare_model(m.net_g)))
    report = {'unchanged': unchanged, 'skipped': m.training_step.skipped_in_row}
    (folder / f'rank{rank}.json').write_text(json.dumps(report))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
