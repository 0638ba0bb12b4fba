"""Every command of the README and the docs: run as written, run in a short form, or not run for a stated reason.

Their Python examples run as written, except for sketches.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.error import URLError

import pytest
import torch

from entropy_sde_plugin.cli import main
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.metrics import perceptual
from tests.support.commands import ROOT
from tests.support.networks import random_network
from tests.support.pictures import write_png

PAGES = (ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md')))


@dataclass(frozen=True)
class Run:
    """Run here, in a folder with the files that the command names. ``short`` is added to save time."""

    short: str = ''


@dataclass(frozen=True)
class TestedBy:
    """Run, shortened by ``--force_yml`` or on small files, by another test."""

    __test__ = False
    test: str


@dataclass(frozen=True)
class NotRun:
    """Not run by a test."""

    reason: str


INSTALLS = NotRun('installs packages; CI runs the test command, and the demonstration has tests of its own')
HOURS = NotRun('a benchmark or study: minutes to hours')
GPUS = NotRun('needs several GPUs or machines; two processes over gloo are tested')
STARTS = TestedBy('test_it_starts')  # every option file, shortened by --force_yml

COMMANDS = {
    # installation and CI
    'python3 -m venv .venv && .venv/bin/pip install --use-pep517 . && .venv/bin/entropy-sde demo': INSTALLS,
    "python3 -m venv .venv && .venv/bin/pip install --use-pep517 -e '.[test]' && .venv/bin/python -m pytest": INSTALLS,
    "python3 -m venv .venv && .venv/bin/pip install --use-pep517 -e '.[dev]'": INSTALLS,
    "pip install '.[page]'": INSTALLS,
    "pip install '.[onnx]'": INSTALLS,
    '.venv/bin/pre-commit install': NotRun('changes the clone it runs in'),
    '.venv/bin/python -m pytest tests/diffusion -n0': NotRun('tests would run tests'),
    '.venv/bin/python -m pytest': NotRun('tests would run tests'),
    '.venv/bin/python -m pytest -m large -n0': NotRun('tests would run tests'),
    'bash .ci/run': NotRun('tests would run tests'),
    'export OMP_NUM_THREADS=1': NotRun('sets a variable for the commands below it'),
    # entropy-sde
    '.venv/bin/entropy-sde enhance -i dark.jpg -o bright --compare': Run('--steps 1'),
    'entropy-sde enhance -i holiday dark.jpg -o bright --compare': Run('--steps 1'),
    'entropy-sde enhance -i dark.jpg -o bright --brightness 0.3': Run('--steps 1'),
    'entropy-sde enhance -i LOLv1/eval15/low -o bright': Run('--steps 1'),
    'torchrun --nproc_per_node=4 -m entropy_sde_plugin.cli enhance -i photos -o bright': TestedBy(
        'test_torchrun_shares_a_folder_out'
    ),
    'entropy-sde enhance -i night.dng -o bright': TestedBy(
        'test_without_that_model_raw_files_of_every_kind_are_developed'
    ),
    'entropy-sde enhance -i night.dng -o bright --model exposure': TestedBy(
        'test_raw_files_become_developed_images_of_16_bits'
    ),
    'entropy-sde demo-page': TestedBy('test_a_photograph_becomes_before_and_after_and_a_download'),
    'entropy-sde prepare lolv1 datasets/LOLv1': Run(),
    'entropy-sde prepare sid datasets/SID': TestedBy('test_sids_training_patches'),
    'entropy-sde prepare eld datasets/ELD': TestedBy('test_eld'),
    'entropy-sde calibrate --flats flats --darks darks -o camera.json': TestedBy(
        'test_the_parameters_of_synthetic_frames_are_found_again'
    ),
    'entropy-sde --print-completion bash > ~/.local/share/bash-completion/completions/entropy-sde': TestedBy(
        'test_bash_completes'
    ),
    '.venv/bin/entropy-sde prepare lolv1 datasets/LOLv1': Run(),
    'entropy-sde evaluate --result their_results --truth LOLv1/Test/target': Run(),
    'entropy-sde evaluate --result their_results --truth LOLv1/Test/target --low LOLv1/Test/input '
    '--metrics psnr ssim lpips psnr_gtmean -o scores': Run(),
    'entropy-sde evaluate --result bright --truth LOLv1/eval15/high --low LOLv1/eval15/low '
    '--metrics psnr ssim lpips psnr_gtmean': Run(),
    'entropy-sde report experiments/a experiments/b -o report.html': TestedBy('test_the_table_says_what_the_files_say'),
    'entropy-sde report experiments/train_lolv1_entropy experiments/train_lolv1_l1 results/test_lolv1 '
    '-o report.html': TestedBy('test_the_table_says_what_the_files_say'),
    'entropy-sde convert net_g_latest.pth model.safetensors': Run(),
    'entropy-sde convert entropy_sde_demo/experiments/demo/models/net_g_latest.pth model.safetensors': Run(),
    'entropy-sde convert released.pth model.safetensors --prediction noise --max-sigma 50 --T 100 '
    '--schedule cosine --eps 0.005': Run(),
    'entropy-sde bench-gpu -o gpu': TestedBy('test_a_quick_run_on_the_cpu_has_no_problem'),
    'entropy-sde export -o model.onnx': TestedBy('test_onnxruntime_gives_pytorchs_prediction_at_any_size'),
    'entropy-sde export --pipeline -o pipeline.onnx': TestedBy('test_images_of_8_bits_by_the_command'),
    # BasicSR's trainer and tester
    'python -m basicsr.train -opt options/train_lolv1_entropy.yml': STARTS,
    '.venv/bin/python -m basicsr.train -opt options/train_lolv1_entropy.yml': STARTS,
    'python -m basicsr.test -opt options/test_lolv1.yml': STARTS,
    'python -m basicsr.train -opt options/train_lolv1_lldiffusion.yml': STARTS,
    'python -m basicsr.test -opt options/test_lolv1_lldiffusion.yml': STARTS,
    'python -m basicsr.train -opt options/train_sid_exposure_eld.yml': STARTS,
    'python -m basicsr.test -opt options/test_sid_exposure.yml': STARTS,
    'python -m basicsr.train -opt options/finetune_own_pairs.yml': STARTS,
    'python -m basicsr.train -opt options/distil_lowlight_small.yml': STARTS,
    'python -m basicsr.train -opt options/train_lolv1_small.yml': STARTS,
    'python -m basicsr.train -opt options/train_lolv1_small.yml --force_yml name=train_lolv1_small_details '
    'path:pretrain_network_g=experiments/train_lolv1_small/models/net_g_latest.pth path:param_key_g=params_ema '
    'train:optim_g:lr=4e-4 "train:scheduler:periods=[4000]" train:total_iter=4000 '
    'train:entropy_opt:loss_weight=0.2 train:entropy_opt:levels=16 '
    'train:entropy_opt:subtract_local_mean=15 "train:entropy_opt:intensity_range=[-0.25, 0.25]"': STARTS,
    'python -m basicsr.test -opt options/test_lolv1_small.yml --force_yml '
    'path:pretrain_network_g=experiments/train_lolv1_small_details/models/net_g_latest.pth': STARTS,
    'python -m basicsr.train -opt options/train_lolv1_entropy.yml --auto_resume': TestedBy(
        'test_resuming_passes_over_a_cut_off_state'
    ),
    'PYTHONPATH=/path/to/BasicSR python /path/to/BasicSR/basicsr/train.py '
    '-opt options/train_lolv1_entropy.yml': TestedBy('test_checkout'),
    'torchrun --nproc_per_node=4 -m basicsr.train -opt options/train_lolv1_entropy.yml --launcher pytorch': TestedBy(
        'test_two_processes_over_gloo'
    ),
    'torchrun --nnodes=2 --node_rank=1 --nproc_per_node=8 --master_addr=FIRST_HOST --master_port=29500 '
    '-m basicsr.train -opt options/train_lolv1_entropy.yml --launcher pytorch': GPUS,
    'srun --ntasks=16 --ntasks-per-node=8 --gpus-per-node=8 '
    'python -m basicsr.train -opt options/train_lolv1_entropy.yml --launcher slurm': GPUS,
    # scripts
    'python scripts/benchmarks/bench_loss.py': HOURS,
    'python scripts/benchmarks/bench_step.py': HOURS,
    'python scripts/benchmarks/bench_raw_synthesis.py': HOURS,
    'python scripts/benchmarks/bench_exposure.py': HOURS,
    'python -m basicsr.train -opt options/train_exposure_small.yml --force_yml manual_seed=0 exposure:calls=1 '
    'train:total_iter=3000 "train:scheduler:periods=[3000]"': STARTS,
    'python scripts/benchmarks/bench_lldiffusion.py': HOURS,
    'python scripts/benchmarks/estimate_loss_kernel.py': TestedBy(
        'test_machine_code_does_the_work_that_the_docstring_states'
    ),
    'python scripts/benchmarks/bench_scaling.py --steps 10': HOURS,
    'python scripts/benchmarks/bench_checkpointing.py --training paper --batch 4': HOURS,
    'python scripts/benchmarks/project_scaling.py': TestedBy('test_operations_are_those_of_the_layers'),
    'python scripts/studies/compare_loss_variants.py': HOURS,
    'python scripts/studies/ablation.py scratch continued packaged forms objectives -o ablation --seeds 0': HOURS,
    'python scripts/studies/ablation.py scratch continued forms -o ablation --seeds 0 1 2 --only L1 hellinger '
    'relative_entropy L1_and_hellinger_8_levels L1_and_hellinger_16_levels L1_and_hellinger_32_levels '
    'L1_and_hellinger_64_levels window_1 window_1_64_levels windows_1_3_5 window_11 neighbours_legacy': HOURS,
    'python scripts/studies/ablation.py continued -o ablation_lol --pairs datasets/LOLv1/our485 --iterations 1500 '
    '--only L1 hellinger relative_entropy': HOURS,
    'python scripts/studies/ablation.py details -o ablation_lol --pairs datasets/LOLv1/our485 '
    '--only L1 L1_and_hellinger L1_and_details_0.3': HOURS,
    'python scripts/studies/ablation.py lldiffusion -o ablation_ll --pairs datasets/LOLv1/our485 --seeds 0 1 '
    '--only as_published no_degradation entropy_abar': HOURS,
    'python scripts/studies/ablation.py scratch continued forms -o ablation --table': TestedBy('test_table'),
    'OMP_NUM_THREADS=1 python scripts/tools/stress_checkpoints.py --kills 50': HOURS,
    'python scripts/tools/stress_endings.py --runs 100': HOURS,
    'python scripts/tools/enhance_real_dark_images.py real_dark': NotRun(
        'downloads packages of Debian; its parts are tested in test_enhance_real_dark_images.py'
    ),
    'python scripts/tools/fuzz.py': HOURS,
    'python scripts/tools/interpret_triton.py --seeds 100': HOURS,
}


SKETCHES = {'adding_a_system.md': 'parts of files that do not exist yet', 'weights.md': 'reads exported files'}
"""Pages whose Python examples do not run by themselves, and why; the tests of ONNX read the files."""


def blocks(page, language):
    """The fenced blocks of a page in a language."""
    return re.findall(rf'```{language}\n(.*?)```', page.read_text(encoding='utf-8'), re.DOTALL)


def commands(page):
    """The commands of a page's fenced bash blocks, each on one line and without its comment."""
    for block in blocks(page, 'bash'):
        for line in block.replace('\\\n', ' ').splitlines():
            command = ' '.join(re.sub(r'(^|\s)#.*', '', line).split())
            if command:
                yield command


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_in_the_table(page):
    assert [command for command in commands(page) if command not in COMMANDS] == []


def test_the_table_has_no_other():
    assert set(COMMANDS) - {command for page in PAGES for command in commands(page)} == set()


@pytest.mark.parametrize('test', sorted({entry.test for entry in COMMANDS.values() if isinstance(entry, TestedBy)}))
def test_the_other_test_exists(test):
    assert any(f'def {test}(' in path.read_text(encoding='utf-8') for path in (ROOT / 'tests').rglob('test_*.py'))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_option_files_and_their_flags_exist(page):
    text = page.read_text(encoding='utf-8')
    named = set(re.findall(r'\b(?:scripts/\w+/\w+\.py|options/\w+\.(?:yml|json))', text)) - {'options/x.yml'}
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
    for script, arguments in re.findall(r'python (scripts/\S+\.py)([^`\n]*)', text.replace('\\\n', ' ')):
        source = (ROOT / script).read_text(encoding='utf-8')
        assert [flag for flag in re.findall(r'--\w[\w-]*', arguments) if f"'{flag}'" not in source] == []


EXAMPLES = [page for page in PAGES if blocks(page, 'python') and page.name not in SKETCHES]


@pytest.mark.parametrize('page', EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_run(page):
    for number, block in enumerate(blocks(page, 'python')):
        exec(compile(block, f'{page.name}, example {number}', 'exec'), {})


@pytest.fixture
def place(tmp_path):
    """A folder that holds what the commands name, small."""
    root = tmp_path / 'commands'
    bright = photograph('coffee')[:64, :96]
    for name, picture in (
        ('holiday/a.png', bright // 8),
        ('dark.jpg', bright // 8),
        ('their_results/1.png', bright // 2),
        ('LOLv1/Test/target/1.png', bright),
        ('LOLv1/Test/input/1.png', bright // 8),
        ('bright/1.png', bright // 2),
        *(
            (f'{folder}/{split}/{kind}/1.png', bright // divisor)
            for folder in ('LOLv1', 'datasets/LOLv1')
            for split in ('our485', 'eval15')
            for kind, divisor in (('high', 1), ('low', 8))
        ),
    ):
        write_png(root / name, picture)
    state = random_network(width=4, enc_blk_nums=[1], middle_blk_num=0, dec_blk_nums=[0]).state_dict()
    settings = {'sde': {'max_sigma': 50, 'T': 100, 'schedule': 'cosine', 'eps': 0.005}, 'prediction': 'x0'}
    for name in ('net_g_latest.pth', 'entropy_sde_demo/experiments/demo/models/net_g_latest.pth'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save({'params': {}, 'params_ema': state, 'entropy_sde': settings}, root / name)
    torch.save({f'module.{key}': value for key, value in state.items()}, root / 'released.pth')
    return root


@pytest.mark.parametrize('command', [command for command, entry in COMMANDS.items() if isinstance(entry, Run)])
def test_it_runs(command, place, monkeypatch, tmp_path):
    def offline(*_, **__):
        raise URLError('no internet')

    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    perceptual._lpips.cache_clear()
    monkeypatch.chdir(place)
    program, *arguments = shlex.split(f'{command} {COMMANDS[command].short}')
    assert program.removeprefix('.venv/bin/') == 'entropy-sde'
    assert main(arguments) == 0
