"""Every verb works without its standard streams, and with pipes whose readers have left.

One process imports the libraries; each case is a fork of it, whose streams are what a shell would have given it.
"""

from __future__ import annotations

import json

import pytest
import torch

from entropy_sde_plugin.cli import VERBS
from entropy_sde_plugin.demo.photographs import photograph
from tests.support.commands import python, stock_options, write_options, write_pairs
from tests.support.networks import random_network
from tests.support.pictures import write_png

CASES = {
    'enhance': (['-i', 'dark', '-o', 'OUT', '--steps', '1', '--model', 'net.pth'], 'OUT/a.png'),
    'evaluate': (['--result', 'dark', '--truth', 'bright', '--metrics', 'psnr', '-o', 'OUT'], 'OUT/metrics.csv'),
    'prepare': (['lolv1', 'LOLv1', '--out', 'OUT'], 'OUT/lolv1_test_gt.lmdb/data.mdb'),
    'convert': (['net.pth', 'OUT.safetensors'], 'OUT.safetensors'),
    'report': (['experiments/a', '-o', 'OUT.html'], 'OUT.html'),
    'train': (['-opt', 'OUT.yml'], 'experiments/OUT/models/net_g_4.pth'),
    'export': (['--model', 'net.pth', '-o', 'OUT.onnx'], 'OUT.onnx'),
}
"""Verb -> arguments and a file that it writes. BasicSR's trainer is one of them."""

LOG = 'INFO: [a..][epoch: 0, iter: 1, lr:(1e-3,)] [eta: 0:00:01, time (data): 0.2 (0.1)] l_pix: 1 \n'

STATES = ('closed', 'unread')

FORKS = """
import json, os, sys
cases = json.load(open('cases.json'))

def closed():
    for number in (0, 1, 2):
        os.close(number)
    sys.stdin = sys.stdout = sys.stderr = sys.__stdin__ = sys.__stdout__ = sys.__stderr__ = None

def unread():
    reading, writing = os.pipe()
    os.close(reading)
    for number in (1, 2):
        os.dup2(writing, number)

def run(arguments, state):
    pid = os.fork()
    if pid == 0:
        try:
            globals()[state]()
            code = train(arguments) if arguments[0] == 'train' else main(arguments)
            sys.stdout.flush()
        except BaseException:
            code = 99
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def train(arguments):
    from basicsr.train import train_pipeline
    sys.argv = arguments
    train_pipeline(os.getcwd())
    return 0

import entropy_sde_plugin
entropy_sde_plugin.register()
from entropy_sde_plugin.cli import main
import cv2, lmdb, onnxscript, torch
print(json.dumps([run(*case) for case in cases]))
"""


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with what the commands name."""
    root = tmp_path_factory.mktemp('streams')
    bright = photograph('coffee')[:24, :32]
    for name in ('bright/a.png', 'LOLv1/our485/high/1.png', 'LOLv1/eval15/high/1.png'):
        write_png(root / name, bright)
    for name in ('dark/a.png', 'LOLv1/our485/low/1.png', 'LOLv1/eval15/low/1.png'):
        write_png(root / name, bright // 8)
    network = random_network(width=4, enc_blk_nums=[1], middle_blk_num=0, dec_blk_nums=[0])
    (root / 'experiments/a').mkdir(parents=True)
    (root / 'experiments/a/train_a_1.log').write_text(LOG)
    pairs = write_pairs(root / 'pairs', ['coffee', 'chelsea'])
    for state in STATES:
        write_options(root, stock_options(f'train_{state}', pairs))
    torch.save({'params': network.state_dict()}, root / 'net.pth')
    return root


def test_everything_is_written_and_the_exit_code_is_0(place):
    runs = [(verb, state) for verb in CASES for state in STATES]
    cases = [
        [[verb, *(argument.replace('OUT', f'{verb}_{state}') for argument in CASES[verb][0])], state]
        for verb, state in runs
    ]
    (place / 'cases.json').write_text(json.dumps(cases))
    code, out, err = python('-c', FORKS, cwd=place)
    assert code == 0, err
    codes = dict(zip(runs, json.loads(out), strict=True))
    written = [place / CASES[verb][1].replace('OUT', f'{verb}_{state}') for verb, state in runs]
    assert set(codes.values()) == {0}, codes
    assert [path for path in written if not path.is_file()] == []
    assert (place / 'enhance_closed/a.png').read_bytes() == (place / 'enhance_unread/a.png').read_bytes()


def test_no_verb_is_missing():
    # Two train for minutes, one ends on a signal, and one needs frames of a camera.
    assert set(CASES) - {'train'} == set(VERBS) - {'demo', 'bench_gpu', 'demo_page', 'calibrate'}
