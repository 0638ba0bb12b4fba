"""Small networks for tests."""

from __future__ import annotations

import torch

from entropy_sde_plugin.networks import ConditionalNAFNet


def random_network(seed=0, **options):
    """A small ConditionalNAFNet in evaluation mode, none of whose blocks is the identity that it starts as."""
    sizes = {'width': 8, 'enc_blk_nums': [1, 2], 'middle_blk_num': 1, 'dec_blk_nums': [1, 1]} | options
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ConditionalNAFNet(**sizes).eval()
        for name, parameter in network.named_parameters():
            if name.endswith(('.beta', '.gamma', '.g')):
                torch.nn.init.normal_(parameter, 1, 0.5)
        torch.nn.init.constant_(network.ending.bias, 0.3)  # what it adds to a dark image stays within [0, 1]
    return network
