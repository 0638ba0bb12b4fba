"""Options: the place of a wrong one, contradictions, and the JSON schema made of the checks."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from basicsr.utils.options import ordered_yaml, parse_options

from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.training import preflight
from tests.support.commands import ROOT
from tests.support.hostile import materials
from tests.support.pictures import write_png

OPTIONS = ROOT / 'options'
FILES = sorted(OPTIONS.glob('*.yml'))

TEXT = """\
name: run
model_type: IRSDEModel
num_gpu: 0
sde: {T: 20,
  eps: 5e-3}
sampler:
  type: posterior
  steps: 3
datasets:
  train:
    name: train
    type: PairedLowLightDataset
    dataroot_lq: lq
    dataroot_gt: gt
    gt_size: 16
    batch_size_per_gpu: 2
    num_worker_per_gpu: 0
    dataset_enlarge_ratio: 1e2
  val_2:
    name: val
    type: PairedLowLightDataset
    dataroot_lq: lq
    dataroot_gt: gt
network_g: {type: ConditionalNAFNet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
path:
  pretrain_network_g: ~
train:
  optim_g: {type: Adam, lr: 2e-4}
  scheduler:
    type: CosineAnnealingRestartLR
    periods: [50, 50]
    restart_weights: [1, 0.5]
  total_iter: 100
  pixel_opt:
    type: SpatialEntropyLoss
    levels: 8
    windows: [1, 3]
val:
  val_freq: 10
  metrics:
    psnr.rgb: {type: calculate_psnr, crop_border: 0}
logger:
  print_freq: 1
  save_checkpoint_freq: 10
"""


pytestmark = pytest.mark.usefixtures('one_run', 'no_files')


@pytest.fixture
def no_files(monkeypatch):
    """The files that options name are those of tests/training/test_preflight.py."""
    monkeypatch.setattr(preflight, 'check', lambda opt, options: None)


@pytest.fixture
def parse(monkeypatch):
    """Parse a command line whose option file is ``TEXT`` with one piece replaced."""

    def run(old='', new='', *overrides):
        assert TEXT.count(old) == 1 or not old
        Path('opt.yml').write_text(TEXT.replace(old, new, 1))
        force = ['--force_yml', *overrides] if overrides else []
        monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', 'opt.yml', *force])
        return parse_options('.')[0]

    return run


def error_of(parse, *change):
    with pytest.raises(InputError) as caught:
        parse(*change)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def line_of(piece):
    """The line of ``TEXT`` that a piece stands in, counted from 1."""
    return 1 + TEXT[: TEXT.index(piece)].count('\n')


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('steps: 3', 'stps: 3', "Unknown option 'sampler.stps'. Did you mean 'steps'?"),
        ('steps: 3', 'steps: 21', 'sampler.steps must lie in 1…20'),
        ('eps: 5e-3', 'epps: 5e-3', "Unknown option 'sde.epps'. Did you mean 'eps'?"),
        ('gt_size: 16', 'gt_sise: 16', "Unknown option 'datasets.train.gt_sise'."),
        ('    name: val', '    nam: val', "Unknown option 'datasets.val_2.nam'. Did you mean 'name'?"),
        ('width: 8', 'widht: 8', "Unknown option 'network_g.widht' of ConditionalNAFNet."),
        ('width: 8', 'width: 7', "Section 'network_g': width must be even"),
        ('pretrain_network_g', 'pretrain_netwrok_g', "Unknown option 'path.pretrain_netwrok_g'."),
        (
            'pretrain_network_g: ~',
            "resume_state: ''",
            "Options 'path': 'resume_state' is empty: name a file, or write ~",
        ),
        ('lr: 2e-4', 'lr: 2e-4, beta: 1', "Unknown option 'train.optim_g.beta' of Adam."),
        ('lr: 2e-4', 'lr: .inf', "Option 'train.optim_g.lr': expected a finite number >= 0, but it is inf."),
        ('lr: 2e-4', 'lr: .nan', "Option 'train.optim_g.lr': expected a finite number >= 0, but it is nan."),
        ('lr: 2e-4', 'lr: -2e-4', "Option 'train.optim_g.lr': expected a finite number >= 0, but it is -0.0002."),
        ('lr: 2e-4', 'lr: fast', "Option 'train.optim_g.lr': expected a finite number >= 0, but it is 'fast'."),
        ('lr: 2e-4', 'lr: 1, betas: [.nan, 0]', "Option 'train.optim_g.betas' must be finite, but is [nan, 0]."),
        ('num_gpu: 0', 'num_gpu: -1', "Option 'num_gpu': expected a whole number >= 0 or 'auto', but it is -1."),
        ('width: 8', 'width: 1000000', "Section 'network_g': 114,000,236,000,003 parameters, "),
        ('enc_blk_nums: [1]', 'enc_blk_nums: [1000000]', "Section 'network_g': enc_blk_nums: a level has 0 to 1000"),
        ('middle_blk_num: 1', 'middle_blk_num: -1', "Section 'network_g': middle_blk_num: a level has 0 to 1000"),
        ('    levels: 8', '    levels: 1', "Section 'train.pixel_opt': levels: 1 is not"),
        ('    windows: [1, 3]', '    windows: [1, 4]', "Section 'train.pixel_opt': windows: [1, 4] is not"),
        ('    periods: [50, 50]', '    periods: [100]', "Options 'train.scheduler': 'periods' has 1 entries"),
        (
            'crop_border: 0',
            'crop_border: -1',
            "Option 'val.metrics.psnr.rgb.crop_border': expected a whole number >= 0, but",
        ),
        ('type: calculate_psnr, ', '', "Option 'val.metrics.psnr.rgb.type' is missing: add it to the option file."),
        ('type: Adam', 'type: Adma', "'train.optim_g.type': there is no 'Adma'."),
        ('type: calculate_psnr', 'type: calculate_pnsr', "'val.metrics.psnr.rgb.type': there is no 'calculate_pnsr'."),
        ('    periods: [50, 50]', '    period: [50, 50]', "Unknown option 'train.scheduler.period'."),
        ('periods: [50, 50]', 'periods: [50, 49]', "'train.scheduler.periods' cover 99 iterations"),
        ('logger:', 'loger: 1\nlogger:', "Unknown option 'loger'. Did you mean 'logger'?"),
        ('logger:', 'loqger:', "Unknown option 'loqger'. Did you mean 'logger'?"),
        ('network_g: {', 'netwrok_g: {', "Unknown option 'netwrok_g'. Did you mean 'network_g'?"),
        ('model_type:', 'modle_type:', "Option 'model_type' is missing: add it to the option file. Is 'modle_type' a"),
        ('    name: val', '    name: ../../up', "'datasets.val_2.name' must be a folder name"),
        ('    name: val', '    name: /elsewhere/evil', "'datasets.val_2.name' must be a folder name"),
        ('    name: val', '    name: ".."', "'datasets.val_2.name' must be a folder name"),
        ('    name: val', '    name: ""', "'datasets.val_2.name' must be a folder name"),
        ('  val_freq: 10', '  suffix: ../../esc\n  val_freq: 10', "'val.suffix' must be a folder name"),
        (
            'crop_border: 0',
            'crop_border: 0, better: highr',
            "Option 'val.metrics.psnr.rgb.better': 'highr' is not one of",
        ),
        ('crop_border: 0', 'crop_border: 0, better: 5', "Option 'val.metrics.psnr.rgb.better': 5 is not one of"),
        (
            'crop_border: 0',
            'crop_border: 0, better: none',
            "Option 'val.metrics.psnr.rgb.better': 'none' is not one of",
        ),
        (
            'crop_border: 0',
            'crop_border: 0, input_order: x',
            "Option 'val.metrics.psnr.rgb.input_order': 'x' is not one",
        ),
        (
            '{type: calculate_psnr, crop_border: 0}',
            '{type: calculate_lpips, net: resnet}',
            "Option 'val.metrics.psnr.rgb.net': 'resnet' is not one of its values.",
        ),
        (
            'num_worker_per_gpu: 0',
            'num_worker_per_gpu: 0.5',
            "Option 'datasets.train.num_worker_per_gpu': expected a whole",
        ),
        ('width: 8', 'width: 8, img_channel: 1', "Option 'network_g.img_channel' must be 3"),
        ('width: 8', 'width: 8, img_channel: 4', "Option 'network_g.img_channel' must be 3"),
        (
            '  total_iter: 100',
            '  total_iter: 9223372036854775808',
            "Option 'train.total_iter': expected a whole number",
        ),
        (
            '  val_2:',
            '  train_2:',
            "Section 'datasets.train_2': a training does not use it. A training has the sets 'train' and",
        ),
        ('  val_2:', '  test:', "Section 'datasets.test': a training does not use it"),
        ('type: Adam,', 'type: LBFGS,', "Section 'train.optim_g': "),
        ('type: Adam,', 'type: SparseAdam,', "Section 'train.optim_g': "),
        ('model_type: IRSDEModel', 'model_type: IRSDModel', "'model_type': there is no 'IRSDModel'."),
    ],
)
def test_a_wrong_option_is_reported_with_its_line(parse, old, new, message):
    assert error_of(parse, old, new).startswith(f'opt.yml, line {line_of(old)}: {message}')


PIXEL_OPT = '    type: SpatialEntropyLoss\n    levels: 8\n    windows: [1, 3]\n'
NETWORK = '{type: ConditionalNAFNet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}'


@pytest.mark.parametrize(
    ('old', 'new', 'culprit', 'message'),
    [
        (
            'num_worker_per_gpu: 0',
            'num_worker_per_gpu: 0\n    persistent_workers: true',
            'persistent_workers',
            "'datasets.train.persistent_workers' is true, but num_worker_per_gpu is 0",
        ),
        (
            '  val_2:\n',
            '  val:\n    name: val\n    type: PairedLowLightDataset\n    dataroot_lq: lq\n  val_2:\n',
            '  val_2:\n    name',
            "'datasets.val_2.name' is 'val', like 'datasets.val.name'",
        ),
        (
            '  print_freq: 1',
            '  print_freq: 1\n  wandb: {project: x}',
            'wandb',
            "'logger.wandb' copies TensorBoard",
        ),
        (
            PIXEL_OPT,
            '    type: L1Loss\n    reduction: median\n',
            'reduction: median',
            "Section 'train.pixel_opt': L1Loss rejects its options or the images: Unsupported reduction mode: median.",
        ),
        (
            PIXEL_OPT,
            '    type: CharbonnierLoss\n    eps: abc\n',
            'eps: abc',
            "Section 'train.pixel_opt': CharbonnierLoss rejects its options or the images: ",
        ),
        (
            PIXEL_OPT,
            '    type: GANLoss\n    gan_type: vanilla\n',
            'pixel_opt',
            "Section 'train.pixel_opt': GANLoss rejects its options or the images: ",
        ),
        (
            NETWORK,
            '{type: EDSR, num_in_ch: 3, num_out_ch: 3}',
            'network_g',
            "'network_g.type': EDSR is not a network for IRSDEModel, which gives it the noisy image",
        ),
        (
            '    type: PairedLowLightDataset\n    dataroot_lq: lq\n    dataroot_gt: gt\n    gt_size: 16\n'
            '    batch_size_per_gpu: 2\n',
            '    type: PairedImageDataset\n    batch_size_per_gpu: x\n',
            'batch_size_per_gpu',
            "Option 'datasets.train.batch_size_per_gpu': expected a whole number, but it is 'x'.",
        ),
        (
            'ratio: 1e2',
            'ratio: 1.5',
            'dataset_enlarge_ratio',
            "Option 'datasets.train.dataset_enlarge_ratio': expected a whole number, but it is 1.5.",
        ),
    ],
)
def test_what_would_fail_in_a_training_is_reported_with_its_line(parse, old, new, culprit, message):
    changed = TEXT.replace(old, new, 1)
    line = 1 + changed[: changed.index(culprit)].count('\n') + (culprit.count('\n') if 'val_2' in culprit else 0)
    assert error_of(parse, old, new).startswith(f'opt.yml, line {line}: {message}')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'path': {'pretrain_network_g': None}}, "Option 'path.pretrain_network_g' is missing"),
        ({'datasets': {}}, "Section 'datasets' is empty: name the set to test, as 'test'."),
        ({'val': None}, "Section 'val' is missing"),
    ],
)
def test_a_test_without_what_it_measures_is_reported(monkeypatch, change, message):
    opt = materials.testing() | change
    Path('opt.yml').write_text(yaml.safe_dump(opt, sort_keys=False))
    monkeypatch.setattr(sys, 'argv', ['test.py', '-opt', 'opt.yml'])
    with pytest.raises(InputError, match=r'^opt\.yml, line \d+: ') as caught:
        parse_options('.', is_train=False)
    assert message in str(caught.value)


def test_a_missing_option_is_reported_with_the_line_of_its_section(parse):
    section = line_of('train:\n  optim_g')
    assert error_of(parse, '  total_iter: 100\n', '') == (
        f"opt.yml, line {section}: Option 'train.total_iter' is missing: add it to the option file."
    )
    assert error_of(parse, 'logger:\n  print_freq: 1\n  save_checkpoint_freq: 10\n', '') == (
        "opt.yml: Section 'logger' is missing: add it to the option file."
    )


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('sampler:stps=4', "--force_yml sampler:stps=4: Unknown option 'sampler.stps'. Did you mean 'steps'?"),
        ('network_g:width=7', "--force_yml network_g:width=7: Section 'network_g': width must be even"),
        ('sampler:steps=21', '--force_yml sampler:steps=21: sampler.steps must lie in 1…20'),
        ('train:entropy_opt=3', "--force_yml train:entropy_opt=3: 'train.entropy_opt' must be a section"),
        (
            'network_g:width=1000000',
            f"opt.yml, line {line_of('network_g:')}, and --force_yml network_g:width=1000000: Section 'network_g': ",
        ),
    ],
)
def test_a_wrong_override_is_reported_as_such(parse, override, message):
    assert error_of(parse, '', '', 'manual_seed=1', override, 'logger:print_freq=5').startswith(message)


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('name=none', "'name' must be text."),
        ('name=5', "'name' must be text."),
        ('datasets=none', "'datasets' must be a section of options."),
        ('path=none', "'path' must be a section of options."),
        ('manual_seed=99999999999', "'manual_seed' must be a whole number in 0…"),
        ('train:scheduler:milestones=[2000', 'the value cannot be read: '),
        ('train:total_iter=!!float x', 'the value cannot be read: '),
        ('trian:total_iter=3', "there is no section 'trian'. Did you mean 'train'?"),
        ('path:pretrain_network_g:x=3', "'path.pretrain_network_g' is not a section of options."),
        ('train:scheduler:periods=[__import__("os").system("touch CANARY")]', "Option 'train.scheduler.periods"),
    ],
)
def test_an_override_is_checked_and_never_run(parse, override, message):
    assert error_of(parse, '', '', override).startswith(f'--force_yml {override}: {message}')
    assert not Path('CANARY').exists()


def test_overrides_mean_what_they_mean_to_basicsr(parse):
    overrides = {
        'train:total_iter': '50', 'train:entropy_opt': 'none', 'train:ema_warmup': 'True', 'train:optim_g:lr': '0.5',
        'train:scheduler:periods': '[50, 1_0]', 'train:scheduler:restart_weights': "[1,1e-1]", 'name': 'on',
        'path:ignore_resume_networks': '[network_g]',
    }  # fmt: skip
    opt = parse('', '', *(f'{key}={value}' for key, value in overrides.items()))
    assert (opt['name'], opt['train']['total_iter'], opt['train']['entropy_opt']) == ('on', 50, None)
    assert (opt['train']['ema_warmup'], opt['train']['optim_g']['lr']) == (True, 0.5)
    assert opt['train']['scheduler']['periods'] == [50, 10]
    assert opt['train']['scheduler']['restart_weights'] == [1, 0.1]
    assert opt['path']['ignore_resume_networks'] == ['network_g']


def test_an_override_may_add_what_basicsr_needs(parse):
    assert parse('name: run\n', '', 'name=other')['name'] == 'other'
    assert "Option 'name' is missing: add it to the option file." in error_of(parse, 'name: run\n', '')


# --- what -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('levels: 8', 'levels: 1', ["'train.pixel_opt'", 'levels']),
        ('windows: [1, 3]', 'windows: [1, 4]', ["'train.pixel_opt'", 'windows', 'odd']),
        ('restart_weights: [1, 0.5]', 'restart_weights: [1]', ["'train.scheduler'", '2 entries', 'must match']),
        ('periods: [50, 50]', 'periods: 100', ["'train.scheduler.periods'", 'expected a list']),
        ('num_gpu: 0', 'num_gpu: none of them', ["'num_gpu'", "'none of them'"]),
        ('num_gpu: 0', 'num_gpu: 0\ndist_params: {bakcend: gloo}', ["'dist_params.bakcend'", "'backend'"]),
    ],
)
def test_contradictions_and_wrong_values_are_named(parse, old, new, words):
    message = error_of(parse, old, new)
    for word in ['opt.yml, line ', *words]:
        assert word in message


def test_a_metric_without_truth_is_named_before_the_training(parse):
    paired = '    name: val\n    type: PairedLowLightDataset\n    dataroot_lq: lq\n    dataroot_gt: gt\n'
    dark = paired.replace('    dataroot_gt: gt\n', '')
    message = error_of(parse, paired, dark)
    assert message.startswith(f'opt.yml, line {line_of("val_2:")}: ')
    assert "psnr.rgb compare with ground truth, but 'datasets.val_2' has none" in message

    ntire = '    name: val\n    type: NTIRELowLightDataset\n    dataroot: .\n'
    picture = np.zeros((8, 8, 3), np.uint8)
    write_png(Path('val/input/1.png'), picture)
    assert 'compare with ground truth' in error_of(parse, paired, ntire)
    write_png(Path('val/target/1.png'), picture)
    parse(paired, ntire)


def test_text_numbers_reach_basicsrs_loader_as_numbers(parse):
    opt = parse()
    assert opt['datasets']['train']['dataset_enlarge_ratio'] == 100
    assert opt['train']['optim_g']['lr'] == 2e-4
    assert opt['datasets']['train']['name'] == 'train'
    for value in (parse('gpu: 2\n', 'gpu: 2.0\n'), parse('gpu: 2\n', 'gpu: "2"\n')):
        assert type(value['datasets']['train']['batch_size_per_gpu']) is int


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_the_option_files_are_right(monkeypatch, file, real_weights, cache):
    monkeypatch.setattr(sys, 'argv', ['run.py', '-opt', str(file)])
    parse_options('.', is_train=not file.stem.startswith('test_'))


# --- the schema -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def validator():
    schema = json.loads((OPTIONS / 'schema.json').read_text(encoding='utf-8'))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(text):
    return yaml.load(text, Loader=ordered_yaml()[0])


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_editors_find_the_schema_and_nothing_wrong(validator, file):
    text = file.read_text(encoding='utf-8')
    assert text.startswith('# yaml-language-server: $schema=schema.json\n')
    assert [error.message for error in validator.iter_errors(read(text))] == []


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        ('sampler.stps', 4),
        ('sampler.type', 'ddmi'),
        ('sde.eps', 1),
        ('trian', {}),
        ('train.objectve', 'x0'),
        ('train.scheduler.period', [1]),
        ('train.pixel_opt.levles', 8),
        ('train.total_iter', 0),
        ('datasets.train.gt_sise', 8),
        ('datasets.val.version', 'v3'),
        ('datasets.val.io_backend', {'type': 'tape'}),
        ('network_g.widht', 8),
        ('path.pretrain', 'a.pth'),
        ('val.metrics.lpips', {'type': 'calculate_lpips', 'nett': 'alex'}),
        ('logger.print_frq', 1),
        ('dist_params.bakcend', 'gloo'),
    ],
)
def test_editors_mark_what_a_command_refuses(validator, monkeypatch, path, value):
    opt = read((OPTIONS / 'train_lolv1_entropy.yml').read_text(encoding='utf-8'))
    wrong = copy.deepcopy(opt)
    *sections, key = path.split('.')
    section = wrong
    for name in sections:
        section = section[name]
    section[key] = value
    assert not validator.is_valid(wrong)

    Path('wrong.yml').write_text(yaml.safe_dump(json.loads(json.dumps(wrong))))
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', 'wrong.yml'])
    with pytest.raises(InputError, match=r'^wrong\.yml, line '):
        parse_options('.')


@pytest.mark.parametrize('side', [48, 40])
def test_crops_that_the_released_unet_does_not_take_are_reported(monkeypatch, no_files, side):
    file = OPTIONS / 'train_sid_exposure_pg.yml'
    override = f'datasets:train:gt_size={side}'
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(file), '--force_yml', override])
    if side % 16 == 0:
        parse_options('.')
        return
    with pytest.raises(InputError, match=r"gt_size' must be a multiple of 16 for an ExposureUNet, but is 40"):
        parse_options('.')
