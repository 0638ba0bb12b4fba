"""The report: what it reads, what it says, and that a browser shows it."""

import json
import logging
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from basicsr.utils.logger import MessageLogger

from entropy_sde_plugin import cli
from entropy_sde_plugin.data.raw_view import developed
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.evaluation.records import read_metrics
from entropy_sde_plugin.report.charts import Line, line_chart
from entropy_sde_plugin.report.log_file import Step, read_steps, seconds_per_step
from entropy_sde_plugin.report.page import write_report
from entropy_sde_plugin.report.pictures import CROP, read_result, read_samples, window_of_detail
from entropy_sde_plugin.report.runs import Metric, Run, ValidationRecord, read_runs
from entropy_sde_plugin.report.tables import columns, published_rows, result_rows
from tests.support import exposure_model
from tests.support.browser import chromium
from tests.support.commands import write_pairs
from tests.support.pipes import pipe
from tests.support.validation import options

NAMES = ('coffee', 'chelsea', 'rocket', 'astronaut')
METRICS = {
    'psnr': {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': False},
    'ssim_cut': {'type': 'calculate_ssim', 'crop_border': 8},
    'lpips': {'type': 'unavailable', 'better': 'lower'},
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with two experiments on four photographs, under two seeds: ``experiments/a`` and ``b``."""
    root = tmp_path_factory.mktemp('report')
    write_pairs(root / 'pairs', NAMES, size=160)
    for seed, name in enumerate(('a', 'b')):
        experiment(root, name, seed)
    return root


def experiment(root, name, seed):
    place = root / 'experiments' / name
    place.mkdir(parents=True)
    data = {'name': 'photographs', 'type': 'PairedLowLightDataset', 'phase': 'val'}
    data |= {'dataroot_lq': 'pairs/lq', 'dataroot_gt': 'pairs/gt'}
    opt = options(place, metrics=METRICS, seeds=[0, 1])
    opt |= {'name': name, 'root_path': str(root), 'datasets': {'val': data}}
    torch.manual_seed(seed)
    model = build_model(opt)
    rooted = data | {key: str(root / data[key]) for key in ('dataroot_lq', 'dataroot_gt')}
    loader = build_dataloader(build_dataset(rooted), rooted)
    for iteration in (10, 20):
        model.validation(loader, iteration, None, save_img=True)
    write_log(place / f'train_{name}_20260101_000000.log', range(1, 21))


def write_log(path, iterations, rate=1e-3):
    """A log by BasicSR's own formatter; the loss is 1/iteration."""
    logger = MessageLogger(
        {'name': 'log', 'logger': {'print_freq': 1, 'use_tb_logger': False}, 'train': {'total_iter': 9}}
    )
    logger.logger = logging.Logger('log of a test')
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s: %(message)s'))
    logger.logger.addHandler(handler)
    for i in iterations:
        times = {'time': 0.25 + (i == 3), 'data_time': 0.01}
        logger({'epoch': 0, 'iter': i, 'lrs': [rate], **times, 'l_pix': 1 / i, 'l_entropy': 2 / i})
    handler.close()


@pytest.fixture(scope='module')
def page(folder):
    path = folder / 'report.html'
    assert cli.main(['report', str(folder / 'experiments/a'), str(folder / 'experiments/b'), '-o', str(path)]) == 0
    return path


class Document(HTMLParser):
    """Tables as lists of rows of texts, and all addresses."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ('src', 'href')]
        if tag == 'tr':
            self.rows.append([])
        elif tag in ('td', 'th') and self.rows:
            self.rows[-1].append('')

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_table_says_what_the_files_say(folder, page):
    rows = Document(page.read_text()).rows
    for name in 'ab':
        values = [r for r in read_metrics(folder / 'experiments' / name) if r['iteration'] == '20']
        means = [np.mean([float(r['psnr']) for r in values if r['seed'] == seed]) for seed in '01']
        row = next(row for row in rows if row[0] == name)
        assert row[1:3] == ['photographs', f'{np.mean(means):.2f} ± {np.std(means, ddof=1):.2f}']
        assert row[4:] == ['n/a', '4', '2', '3', row[-1]]
        assert f'<p class="note">{name}, photographs, lpips ↓: there are no weights</p>' in page.read_text()
    heading = next(row for row in rows if row[:1] == ['Run'])
    assert heading[2:5] == ['PSNR, dB ↑', 'ssim_cut ↑crop_border: 8', 'lpips ↓']


@pytest.mark.parametrize('photographs', ['pairs/gt', '~/pairs/gt'])
def test_a_run_on_raw_images_shows_them_developed(tmp_path, monkeypatch, photographs):
    monkeypatch.setenv('HOME', str(tmp_path))
    write_pairs(tmp_path / 'pairs', NAMES[:1], size=64)
    place = tmp_path / 'experiments/raw'
    place.mkdir(parents=True)
    data = {'name': 'planes', 'type': 'SyntheticRawDataset', 'phase': 'val', 'dataroot_gt': photographs}
    changes = {'path__experiments_root': str(place), 'path__visualization': str(place / 'visualization')}
    metrics = {'psnr_raw': {'type': 'calculate_psnr_raw'}, 'psnr': METRICS['psnr']}
    raw = exposure_model.model(
        name='raw', root_path=str(tmp_path), datasets={'val': data}, val={'metrics': metrics}, **changes
    )
    rooted = data | {'dataroot_gt': str(tmp_path / 'pairs/gt')}
    dataset = build_dataset(rooted)
    raw.validation(build_dataloader(dataset, rooted), 10, None, save_img=True)
    (row,) = read_metrics(place)
    assert row['illumination_correction'] == 'none'

    (run,) = read_runs([place])
    item, sample = dataset[0], read_samples(run, 'planes', [NAMES[0]])[NAMES[0]]
    for planes, shown in ((item['lq'], sample.before), (item['gt'], sample.truth)):
        expected = developed(planes.numpy(), item['white_balance'].numpy(), item['matrix'].numpy())
        assert np.array_equal(shown, expected)
    restored = read_result(run, run.latest[0], NAMES[0]).astype(float)
    assert float(row['psnr']) == pytest.approx(10 * np.log10(255**2 / np.mean((restored - sample.truth) ** 2)))
    write_report([place], tmp_path / 'raw.html')
    rows = Document((tmp_path / 'raw.html').read_text()).rows
    assert next(cells for cells in rows if cells[0] == 'raw')[1] == 'planes, illumination_correction: none'


def test_fid_over_few_pictures_is_called_indicative():
    metric = Metric.read('fid', {'type': 'calculate_fid', 'better': 'lower'})
    shown = []
    for images in (2047, 2048):
        entry = {'dataset': 'd', 'sampler': {'steps': 1}, 'seeds': [0], 'images': images, 'seconds_per_image': 1.0}
        record = ValidationRecord(entry, [{'seed': '0', 'image': '', 'fid': '12.34'}])
        run = Run('run', Path('run'), {'sampler': {'steps': 1}}, [], [record], {'fid': metric})
        shown += [row['cells'] for row in result_rows([run], columns([run]))]
    assert shown == [['12.3 (indicative)'], ['12.3']]


def test_published_rows_stand_in_columns_of_their_own_protocol_only(page):
    rows = Document(page.read_text()).rows
    published = [row for row in rows if row[0].endswith('published')]
    assert [row[1:5] for row in published][:2] == [['LOL-v1', '23.21', '–', '–'], ['LOL-v1', '24.05', '–', '–']]
    assert len(published) == 5


def test_published_rows_of_lldiffusion_are_of_its_own_psnr():
    section = {'type': 'calculate_psnr_lldiffusion'}
    run = Run('run', Path('run'), {}, [], [], {'ll': Metric.read('ll', section)})
    rows = published_rows(columns([run]))
    assert [(row['run'], row['dataset'], *row['cells']) for row in rows] == [
        ('LLDiffusion', 'LOL-v1', '24.65'),
        ('LLDiffusion', 'LOL-v2-real', '23.16'),
        ('LLDiffusion', 'LOL-v2-synthetic', '25.99'),
        ('LLDiffusion', 'VE-LOL', '31.77'),
    ]


def test_the_page_needs_no_other_file_and_no_network(page):
    document = Document(page.read_text())
    assert len(document.addresses) > 20
    assert all(address.startswith('data:') for address in document.addresses)
    assert not re.search(r'url\(|@import|<script', page.read_text())


def test_a_browser_shows_it_without_complaint(page, tmp_path):
    probe = '<script>document.title = [...document.images].filter(i => i.naturalWidth).length</script>'
    probed = tmp_path / 'probed.html'
    probed.write_text(page.read_text().replace('</body>', f'{probe}</body>'))
    dom, console = chromium(probed, tmp_path / 'profile')
    assert console == []
    shown = int(re.search(r'<title>(\d+)</title>', dom)[1])
    assert shown == page.read_text().count('<img ')
    # Four rows of before, two results, truth; a worst and a best image or two, each in three versions, per metric.
    assert shown == 4 * 4 + 2 * 2 * 4 * 3
    assert dom.count('<svg class="chart"') == 6  # two losses, learning rate, time, two metrics that could run

    probed.write_text('<script>console.error("a control"); fetch("https://example.org")</script>')
    assert any('a control' in line for line in chromium(probed, tmp_path / 'profile')[1])


def test_extremes_are_the_tables(folder, page):
    rows = [r for r in read_metrics(folder / 'experiments/a') if r['iteration'] == '20' and r['seed'] == '0']
    ranked = sorted(rows, key=lambda row: float(row['psnr']))
    text = re.sub(r'<[^>]+>', ' ', page.read_text())
    for kind, row in (('worst', ranked[0]), ('best', ranked[-1])):
        assert re.search(rf'{float(row["psnr"]):.2f}\s+{kind}\s*: {row["image"]}', text)


def test_moved_data_are_reported_on_the_page(folder, tmp_path):
    record = json.loads((folder / 'experiments/a/run.json').read_text())
    record['options']['root_path'] = str(tmp_path / 'gone')
    moved = tmp_path / 'moved'
    moved.mkdir()
    (moved / 'run.json').write_text(json.dumps(record))
    (moved / 'metrics.csv').write_bytes((folder / 'experiments/a/metrics.csv').read_bytes())
    output = tmp_path / 'report.html'
    assert cli.main(['report', str(moved), '-o', str(output)]) == 0
    text = output.read_text()
    assert f'Input and truth are not shown, since the data could not be read: &#39;{tmp_path}/gone' in text
    assert 'The runs kept no images' in text


@pytest.mark.parametrize(
    ('folders', 'fault'),
    [
        (['nothing'], "nothing' is not a folder: give the folder of an experiment"),
        (['experiments/a/run.json'], "experiments/a/run.json' is not a folder: give the folder of an experiment"),
        (['experiments'], "experiments' holds neither run.json nor the log of a training: give"),
        (['experiments/a', 'experiments/a'], "experiments/a' is given twice."),
    ],
)
def test_folders_that_are_no_runs_are_refused(folder, folders, fault, capsys, tmp_path):
    arguments = [str(folder / name) for name in folders]
    assert cli.main(['report', *arguments, '-o', str(tmp_path / 'report.html')]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: '{folder}/{fault}")
    assert not (tmp_path / 'report.html').exists()


def test_basicsrs_logs_are_read_and_a_resumed_run_goes_on_from_the_later_one(tmp_path):
    write_log(tmp_path / 'train_x_20260102_000000.log', range(3, 1203, 400), rate=5e-4)
    write_log(tmp_path / 'train_x_20260101_000000.log', range(1, 5))
    steps = read_steps(tmp_path)
    assert [step.iteration for step in steps] == [1, 2, 3, 4, 403, 803]
    assert [step.learning_rate for step in steps] == [1e-3, 1e-3, 5e-4, 1e-3, 5e-4, 5e-4]
    assert steps[4] == Step(403, 5e-4, 0.25, {'l_pix': 2.4814e-03, 'l_entropy': 4.9628e-03})
    assert seconds_per_step(steps) == 0.25
    assert seconds_per_step([]) is None


def test_the_crop_lies_where_the_detail_is():
    picture = np.full((200, 300, 3), 90, np.uint8)
    picture[60:160, 150:250] = photograph('coffee')[:100, :100]
    top, left = window_of_detail(picture)
    assert top <= 60
    assert top + CROP >= 160
    assert left <= 150
    assert left + CROP >= 250


def test_a_chart_puts_points_where_they_belong():
    points = [(0, 1.0), (50, 100.0), (100, 10.0), (150, float('nan'))]
    svg = line_chart([Line('run', '#123456', points, marked=True)], 'label', logarithmic=True)
    circles = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert len(circles) == 3
    (x0, low), (x1, high), (x2, middle) = circles
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert middle == pytest.approx((low + high) / 2, abs=0.2)
    assert high < middle < low
    assert line_chart([Line('none', '#123456', [(1, float('nan'))])], 'label') == ''


def test_a_chart_ticks_round_numbers():
    svg = line_chart([Line('run', '#123456', [(0, 0.0), (2000, 0.93)])], 'label')
    assert re.findall(r'text-anchor="end">([^<]+)<', svg) == ['0', '0.2', '0.4', '0.6', '0.8']
    assert re.findall(r'text-anchor="middle">([^<]+)<', svg) == ['0', '500', '1,000', '1,500', '2,000']


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edited(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ('name', 'spoil', 'words'),
    [
        ('run.json', lambda p: p.write_text('[]'), 'it is not the record of a run'),
        ('run.json', lambda p: p.write_bytes(p.read_bytes()[:500]), 'it is not the record of a run'),
        ('run.json', pipe, 'it cannot be read (it is a pipe, not a file)'),
        ('run.json', lambda p: edited(p, lambda r: r.pop('options')), 'missing required field `options`'),
        ('run.json', lambda p: edited(p, lambda r: r['options'].update(datasets=3)), '`$.options.datasets`'),
        ('run.json', lambda p: edited(p, lambda r: r['options']['val'].update(metrics={'psnr': 3})), 'metrics[...]`'),
        ('run.json', lambda p: edited(p, lambda r: r['validations'][0].pop('seeds')), 'required field `seeds`'),
        ('metrics.csv', pipe, 'it cannot be read (it is a pipe, not a file)'),
        ('metrics.csv', lambda p: p.write_text(p.read_text(), encoding='utf-16'), 'it cannot be read (it is not UTF-8'),
        ('metrics.csv', lambda p: replaced(p, ',', ';'), "no column 'iteration'"),
        ('metrics.csv', lambda p: replaced(p, '.', ','), 'row 1 has more cells than the table has columns'),
        ('metrics.csv', lambda p: replaced(p, '.', ' '), "' under 'psnr' is not a number"),
        ('train_a_20260101_000000.log', pipe, 'it is a pipe, not a file'),
    ],
)
def test_files_of_a_run_that_were_damaged_are_named(folder, tmp_path, capsys, name, spoil, words):
    shutil.copytree(folder / 'experiments/a', tmp_path / 'a')
    spoil(tmp_path / 'a' / name)
    assert cli.main(['report', str(tmp_path / 'a'), '-o', str(tmp_path / 'report.html')]) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert name in error
    assert words in error
    assert not (tmp_path / 'report.html').exists()


def test_damaged_numbers_of_a_log_are_left_out(tmp_path):
    path = tmp_path / 'train_x_20260101_000000.log'
    write_log(path, range(1, 4))
    replaced(path, 'l_pix: 5.0000e-01', 'l_pix: 5..e')
    replaced(path, 'iter:       3', 'iter:       ,')
    assert [(step.iteration, step.losses) for step in read_steps(tmp_path)] == [
        (1, {'l_pix': 1.0, 'l_entropy': 2.0}),
        (2, {'l_entropy': 1.0}),
    ]


def test_a_data_set_that_is_not_registered_here_is_reported_on_the_page(folder, tmp_path):
    shutil.copytree(folder / 'experiments/a', tmp_path / 'a')
    edited(tmp_path / 'a/run.json', lambda r: r['options']['datasets']['val'].update(type='OneOfTheUser'))
    write_report([tmp_path / 'a'], tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    assert 'Input and truth are not shown, since the data could not be read: ' in text
    assert 'OneOfTheUser' in text


def test_a_data_set_of_basicsr_that_fails_is_reported_on_the_page(folder, tmp_path):
    """By an assertion, for a truth that is gone."""
    shutil.copytree(folder / 'experiments/a', tmp_path / 'a')
    shutil.copytree(folder / 'pairs', tmp_path / 'pairs')
    (tmp_path / 'pairs/gt/coffee.png').unlink()
    stock = {'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'}, 'scale': 1}
    root = str(tmp_path)
    edited(tmp_path / 'a/run.json', lambda r: r['options'].update(root_path=root))
    edited(tmp_path / 'a/run.json', lambda r: r['options']['datasets']['val'].update(stock))
    write_report([tmp_path / 'a'], tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    assert 'Input and truth are not shown, since the data could not be read: lq and gt datasets have different' in text
    (tmp_path / 'pairs/lq/coffee.png').unlink()
    write_report([tmp_path / 'a'], tmp_path / 'report.html')
    assert 'Input and truth are not shown' not in (tmp_path / 'report.html').read_text()


def test_a_page_does_not_replace_the_files_of_a_run(folder, capsys):
    record = folder / 'experiments/a/run.json'
    before = record.read_bytes()
    assert cli.main(['report', str(record.parent), '-o', str(record)]) == 1
    assert capsys.readouterr().err == f"error: '{record}': the name of the file to write must end in .html.\n"
    assert record.read_bytes() == before
