"""Make the model that the package carries, from the photographs to the table of its card.

    pip install '.[rivals]'
    python scripts/tools/train_packaged_model.py box

needs Debian's apt (see prepare_photographs.py) and hours of one core: for a training at all times of the diffusion, and
one at the two times that the sampler visits; then the weights of both are averaged. After an interruption, repeat the
command: BasicSR resumes. At the end ``box/lowlight_small.safetensors`` holds the weights, and a table compares them
with the baselines and rivals on the six held-out photographs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from entropy_sde_plugin.utils.resources import options_folder

NAME = 'lowlight_small'
TRAININGS = (f'train_{NAME}', f'distil_{NAME}')
SCRIPTS = Path(__file__).resolve().parent


def main() -> None:
    """Run the commands, each of which says what it does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='where everything goes')
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / 'datasets' / 'photographs').is_dir():
        python(folder, SCRIPTS / 'prepare_photographs.py', 'datasets/photographs')
    for training in TRAININGS:
        python(folder, '-m', 'basicsr.train', '-opt', options_folder() / f'{training}.yml', '--auto_resume')
    trained = [f'experiments/{training}/models/net_g_latest.pth' for training in TRAININGS]
    python(folder, SCRIPTS / 'average_weights.py', *trained, '--share', '0.75', '-o', f'{NAME}.safetensors')
    python(folder, SCRIPTS.parent / 'benchmarks' / 'bench_rivals.py', '-o', 'rivals', '--model', f'{NAME}.safetensors')


def python(folder: Path, *arguments: str | Path) -> None:
    """Run Python in ``folder``; a failure, which has been shown, ends the script."""
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


if __name__ == '__main__':
    main()
