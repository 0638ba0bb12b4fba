"""A start of a run does everything once: real starts, counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import python
from tests.support.hostile import materials

COUNT = """
import collections, functools, json, os, runpy, sys

counts = collections.Counter()

def count_reads(event, arguments):
    if event == 'open' and isinstance(arguments[0], str) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        path = os.path.relpath(arguments[0])
        if path in ('opt.yml', 'weights.pth'):
            counts[f'reads of {path}'] += 1

sys.addaudithook(count_reads)
import basicsr, torch, yaml
from entropy_sde_plugin.data.datasets import paired
from entropy_sde_plugin.models.irsde import IRSDEModel
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.utils import schema

def counted(owner, name, label):
    original = getattr(owner, name)
    @functools.wraps(original)
    def wrapper(*arguments, **options):
        result = original(*arguments, **options)
        counts[label(*arguments)] += 1
        return result
    setattr(owner, name, wrapper)

counted(ConditionalNAFNet, '__init__', lambda self, *_: f'networks on {next(self.parameters()).device}')
counted(paired.PairedLowLightDataset, '__init__', lambda self, opt: f'data set {self.options.phase}')
counted(schema, 'parse', lambda struct, *_: f'sections parsed as {struct.__name__}')
for name, module in list(sys.modules.items()):
    if name.startswith('entropy_sde_plugin.') and hasattr(module, 'parse'):
        module.parse = schema.parse
counted(yaml, 'load', lambda *_: 'option files parsed')
counted(torch, 'load', lambda *_: 'weights unpickled')

def stop(*arguments, **options):
    for name in ('IRSDEOptions', 'SDEOptions'):  # weights carry these sections, too
        del counts[f'sections parsed as {name}']
    with open('counts.json', 'w') as file:
        json.dump(counts, file)
    os._exit(0)

module = sys.argv[1]
setattr(IRSDEModel, {'basicsr.train': 'feed_data', 'basicsr.test': 'nondist_validation'}[module], stop)
sys.argv[1:] = ['-opt', 'opt.yml']
runpy.run_module(module, run_name='__main__')
"""

EVERY_RUN = {
    'option files parsed': 1,
    'sections parsed as IRSDEModel': 1,  # the whole file
    'sections parsed as SamplerOptions': 1,
    'sections parsed as PathOptions': 1,
    'sections parsed as ValOptions': 1,
    'networks on meta': 1,
    'networks on cpu': 1,
    'reads of weights.pth': 1,
    'weights unpickled': 1,
}


@pytest.mark.parametrize(
    ('module', 'own'),
    [
        (
            'basicsr.train',
            {
                'reads of opt.yml': 2,  # one of them is BasicSR's, which copies the file into the run's folder
                'data set train': 1, 'data set val': 1, 'sections parsed as PairedLowLightOptions': 2,
                'sections parsed as IRSDETrainOptions': 1, 'sections parsed as LoggerOptions': 1,
                'sections parsed as MultiStepSchedule': 1,
            },
        ),
        ('basicsr.test', {'reads of opt.yml': 1, 'data set test': 1, 'sections parsed as PairedLowLightOptions': 1}),
    ],
)  # fmt: skip
def test_a_start_reads_parses_and_builds_once(tmp_path, module, own):
    materials.write_folders(tmp_path)
    (tmp_path / 'weights.pth').write_bytes(materials.checkpoint())
    opt = materials.training() if module == 'basicsr.train' else materials.testing()
    opt['path']['pretrain_network_g'] = 'weights.pth'
    materials.write_options(tmp_path, opt)
    Path(tmp_path, 'count.py').write_text(COUNT)
    code, _, err = python('count.py', module, cwd=tmp_path)
    assert code == 0, err
    counts = json.loads((tmp_path / 'counts.json').read_text())
    assert counts == EVERY_RUN | own
