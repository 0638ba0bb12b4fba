"""Kill the real trainer at random moments of saving, damage what it leaves, and see what it resumes from.

    python scripts/tools/stress_checkpoints.py --kills 50

Every round resumes one training of BasicSR's trainer that saves in every iteration, and kills it (SIGKILL) at a
random moment after its first save. After each kill the script reads every checkpoint by itself (zipfile's checksums,
``torch.load``): none may be torn under its final name, and the next round must resume from the newest pair that is
whole. In some rounds the newest pair is damaged in between: a file cut off, a bit flipped, a file missing. The last
round ends on its own, with the weights of a training that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import torch
import yaml

from entropy_sde_plugin.demo.photographs import write_demo_databases
from entropy_sde_plugin.utils.resources import options_folder

DAMAGES = ('none', 'none', 'none', 'cut off', 'bit flipped', 'missing')
NETWORK = {'type': 'ConditionalNAFNet', 'width': 16, 'enc_blk_nums': [1, 1], 'dec_blk_nums': [1, 1]}
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1'}  # the number of threads changes the order of sums
TRAINER = [sys.executable, '-m', 'basicsr.train', '--auto_resume', '-opt']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=50, help='rounds that end in a kill (default: 50)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments and the damages (default: 0)')
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        stress(Path(folder), arguments.kills, chance)


def stress(folder: Path, kills: int, chance: random.Random) -> None:
    write_demo_databases(folder / 'datasets')
    options = write_options(folder, 'killed', total_iter=1_000_000)
    counts: Counter[str] = Counter()
    damaged_pair: int | None = None
    for number in range(1, kills + 1):
        expected = newest_whole(folder)
        resumed = train_until_killed(folder, options, chance.uniform(0, 0.5))
        if resumed != expected:
            raise SystemExit(f'round {number}: resumed from {resumed}, but the newest whole pair was {expected}.')
        torn = [path for path in checkpoints(folder) if not whole(path) and iteration(path) != damaged_pair]
        if torn:
            raise SystemExit(f'round {number}: torn under its final name: {torn[0]}')
        counts['amid a file'] += bool(list(folder.glob('experiments/killed/*/.*.part')))
        counts['between the files of a pair'] += len(pairs(folder)) < len({iteration(p) for p in checkpoints(folder)})
        damage = chance.choice(DAMAGES)
        counts[damage] += 1
        damaged_pair = do_damage(folder, damage, chance) if damage != 'none' else None
        tidy(folder)
        print(f'{number:3d}  resumed from {resumed}, then: {damage}', flush=True)
    print_table(kills, counts, same_end(folder))


def write_options(folder: Path, name: str, total_iter: int) -> Path:
    """The demonstration's options, smaller, with a checkpoint in every iteration."""
    opt = yaml.safe_load((options_folder() / 'demo.yml').read_text())
    opt |= {'name': name, 'network_g': NETWORK}
    opt['train'] |= {'total_iter': total_iter, 'scheduler': {'type': 'MultiStepLR', 'milestones': [20], 'gamma': 0.5}}
    opt['datasets']['train'] |= {'gt_size': 32, 'batch_size_per_gpu': 1}
    del opt['val'], opt['datasets']['val']
    opt['logger'] |= {'print_freq': 1_000_000, 'save_checkpoint_freq': 1}
    path = folder / f'{name}.yml'
    path.write_text(yaml.safe_dump(opt))
    return path


def train_until_killed(folder: Path, options: Path, seconds: float) -> int | None:
    """Train; kill some seconds after the first save. Return the iteration that was resumed from."""
    resumed, saves, last = None, 0, ''
    command = [*TRAINER, options]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            last = line
            if found := re.search(r'Resuming training from epoch: \d+, iter: (\d+)', line):
                resumed = int(found.group(1))
            saves += 'Saving models and training states' in line
            if saves == 2:
                break
        else:
            raise SystemExit(f'The training ended by itself: {last}')
        time.sleep(seconds)
        process.kill()
    return resumed


def iteration(path: Path) -> int:
    return int(path.stem.removeprefix('net_g_'))


def checkpoints(folder: Path) -> list[Path]:
    experiment = folder / 'experiments' / 'killed'
    return [*experiment.glob('models/net_g_[0-9]*.pth'), *experiment.glob('training_states/[0-9]*.state')]


def pairs(folder: Path) -> list[int]:
    counts = Counter(iteration(path) for path in checkpoints(folder))
    return [number for number, files in counts.items() if files == 2]


def newest_whole(folder: Path) -> int | None:
    by_number = {number: [p for p in checkpoints(folder) if iteration(p) == number] for number in pairs(folder)}
    return max((number for number, files in by_number.items() if all(map(whole, files))), default=None)


def whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        torch.load(path, weights_only=True)
    except Exception:
        return False
    return True


def do_damage(folder: Path, damage: str, chance: random.Random) -> int | None:
    number = newest_whole(folder)
    path = chance.choice([path for path in checkpoints(folder) if iteration(path) == number])
    content = bytearray(path.read_bytes())
    if damage == 'missing':
        path.unlink()
    elif damage == 'cut off':
        path.write_bytes(content[: chance.randrange(len(content))])
    else:
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        # Within the data of a tensor: a flip in a name or in the padding changes nothing that is loaded.
        place = content.index(b'PK', largest.header_offset) + 1024 + chance.randrange(largest.file_size // 2)
        content[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    return number


def tidy(folder: Path) -> None:
    """Keep the last pairs alone, so that reading them all stays quick; and no leftovers of a kill."""
    for path in checkpoints(folder):
        if iteration(path) < max(pairs(folder)) - 5:
            path.unlink()
    for path in folder.glob('experiments/killed/*/.*.part'):
        path.unlink()


def same_end(folder: Path) -> bool:
    """Let the training end a few iterations on, and compare its weights with those of one that nobody disturbed."""
    total = max(pairs(folder)) + 3
    for name, resume in (('killed', True), ('undisturbed', False)):
        options = write_options(folder, name, total)
        command = [argument for argument in TRAINER if resume or argument != '--auto_resume']
        subprocess.run([*command, options], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    ends = [folder / 'experiments' / name / f'models/net_g_{total}.pth' for name in ('killed', 'undisturbed')]
    first, second = (torch.load(path, weights_only=True) for path in ends)
    return all(
        torch.equal(first[key][name], second[key][name]) for key in ('params', 'params_ema') for name in first[key]
    )


def print_table(kills: int, counts: Counter[str], same: bool) -> None:
    rows: list[tuple[str, object]] = [
        ('kills', kills),
        ('torn files under a final name', 0),
        ('resumed from the newest whole pair', kills),
    ]
    rows += [(f'of the kills, {where}', counts[where]) for where in ('amid a file', 'between the files of a pair')]
    rows += [(f'newest pair then {damage}', counts[damage]) for damage in ('cut off', 'bit flipped', 'missing')]
    rows.append(('final weights of an undisturbed run, bit for bit', 'yes' if same else 'NO'))
    print('\n| | |\n|---|---|')
    for row in rows:
        print('| {} | {} |'.format(*row))


if __name__ == '__main__':
    main()
