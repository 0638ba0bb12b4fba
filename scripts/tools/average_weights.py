"""Average the weights of a model before and after a further training: often better than either.

    python scripts/tools/average_weights.py before.safetensors after.safetensors --share 0.7 -o averaged.safetensors

The result is (1 - share) * before + share * after, with the settings of ``after`` (Wortsman et al., "Robust fine-tuning
of zero-shot models", CVPR 2022): what the first training learned is not forgotten in the second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from entropy_sde_plugin import register
from entropy_sde_plugin.errors import InputError

register()

from entropy_sde_plugin.checkpoints.model import Model, load_model, save_model  # noqa: E402


def main() -> None:
    """Read two files, write the third."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('before', type=Path, help='weights before the training')
    parser.add_argument('after', type=Path, help='weights after it')
    parser.add_argument('--share', type=float, required=True, help='share of the weights after it, 0…1')
    parser.add_argument('-o', '--output', type=Path, required=True, help='file to write, .safetensors, in float16')
    options = parser.parse_args()
    try:
        averaged = average(load_model(options.before), load_model(options.after), options.share)
        save_model(averaged, options.output, half=True)
    except InputError as error:
        parser.error(str(error))


def average(before: Model, after: Model, share: float) -> Model:
    """Return ``after`` with averaged weights.

    Raises:
        InputError: The networks differ, or ``share`` is outside 0…1.
    """
    if not 0 <= share <= 1:
        raise InputError(f'--share must lie between 0 and 1, but is {share:g}.')
    first, second = before.network.state_dict(), after.network.state_dict()
    if {key: value.shape for key, value in first.items()} != {key: value.shape for key, value in second.items()}:
        raise InputError('The two files hold different networks: only weights of one network can be averaged.')
    after.network.load_state_dict({key: torch.lerp(first[key], value, share) for key, value in second.items()})
    return after


if __name__ == '__main__':
    main()
