"""The Triton kernels, interpreted on the CPU, against stored values and the formula in double precision.

    python scripts/tools/interpret_triton.py --seeds 100

All stored cases under every distance, and random options on small noisy images: relative errors of value and gradient
in the L2 norm, of which each must be at most 1e-5. The exit code says whether they are. Takes about a second a case.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ['TRITON_INTERPRET'] = '1'  # read when Triton is imported
sys.path.insert(0, str(Path(__file__).parents[2]))

from entropy_sde_plugin.losses.spatial_entropy.definition import DISTANCES
from entropy_sde_plugin.losses.spatial_entropy.triton.engine import distance_and_gradient
from tests.support.spatial_entropy_cases import golden_error, random_case
from tests.support.spatial_entropy_oracle import worst_error

ALLOWED = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=30, help='random cases [%(default)s]')
    options = parser.parse_args()
    errors: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for case in range(5):
        for distance in DISTANCES:
            errors['stored', distance].append(golden_error(case, distance, 'triton'))
    for seed in range(options.seeds):
        planes, spec = random_case(seed)
        errors['random', spec.distance].append(worst_error(distance_and_gradient, planes, spec, cancelling=True))
        if errors['random', spec.distance][-1] > ALLOWED:
            print(f'seed {seed}: {spec}, {tuple(planes[0].shape)}', flush=True)
    print('| cases | distance | number | largest error | allowed |\n|---|---|---|---|---|')
    for (kind, distance), found in errors.items():
        print(f'| {kind} | {distance} | {len(found)} | {max(found):.1e} | {ALLOWED:.0e} |')
    return int(max(map(max, errors.values())) > ALLOWED)


if __name__ == '__main__':
    sys.exit(main())
