"""The soak script sees what a training loses, of known size, in a child process, and nothing where it loses none."""

import math
import sys

import numpy as np
import pytest

from entropy_sde_plugin.errors import InputError
from tests.support.scripts import script

# A command whose child loses so much a step, with the lines of BasicSR's log.
TRAINING = """
import multiprocessing, os, sys, threading, time

def lose(steps, memory, descriptors, threads, delay):
    kept = []
    for step in range(1, steps + 1):
        print(f'[soak..][epoch:  0, iter:{step:8,d}, lr:(1.000e-03,)] l_pix: 1.0', flush=True)
        kept.append(bytearray(os.urandom(1)) * memory)
        kept += [open(os.devnull) for _ in range(descriptors)]
        for _ in range(threads):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        end = time.process_time() + 0.02 + delay * step
        while time.process_time() < end:
            pass

child = multiprocessing.get_context('fork').Process(target=lose, args=eval(sys.argv[1]))
child.start()
child.join()
sys.exit(child.exitcode)
"""
STEPS = 60


@pytest.fixture(scope='module')
def soak():
    return script('soak')


@pytest.fixture
def watched(soak, tmp_path):
    def watch(memory=0, descriptors=0, threads=0, delay=0.0):
        arguments = repr((STEPS, memory, descriptors, threads, delay))
        return soak.watch([sys.executable, '-c', TRAINING, arguments], tmp_path, STEPS, pause=20, every=0.01)

    return watch


def test_nothing_lost_is_flat(soak, watched, tmp_path, capsys):
    samples = watched()
    assert [soak.tell(samples, name) for name in ('memory', 'descriptors', 'threads')] == [True] * 3
    table = capsys.readouterr().out
    assert [line.split(' | ')[0] for line in table.splitlines()[2:12]] == [f'| …{6 * n}' for n in range(1, 11)]
    header, *rows = (tmp_path / 'soak.csv').read_text().splitlines()
    assert header == 'seconds,step,memory,descriptors,threads,processes'
    assert rows[len(rows) // 2].endswith(',2')  # the command and its child


def test_what_is_lost_is_reported(soak, watched, capsys):
    """2 MB, three descriptors and one thread a step; a step takes 2 ms of the processor longer than the last."""
    samples = watched(memory=2_000_000, descriptors=3, threads=1, delay=0.002)
    lost = {'memory': 2 * STEPS, 'descriptors': 3 * STEPS, 'threads': STEPS, 'step': 2 * STEPS}
    for name, expected in lost.items():
        assert samples.growth(name)[1] == pytest.approx(expected, rel=0.3 if name == 'step' else 0.1)
        assert not soak.tell(samples, name)
        assert f'{name}: GROWS by ' in capsys.readouterr().out


def test_a_step_is_timed_between_two_pauses(soak, watched):
    """With a pause behind steps 20, 40 and 60, the lines 21 and 41 come late."""
    at = watched().at['step']
    assert at == [step for step in range(2, STEPS + 1) if step not in (21, 41)]


def test_growth_is_that_of_the_middle_line_behind_the_first_tenth(soak):
    samples = soak.Samples(1000)
    for step in range(1, 1000):
        filling = 900 * math.exp(-step / 20)
        outlier = 1e6 if step % 10 == 0 else 0
        samples.add(step, threads=7 + 0.01 * step + (filling if step <= 100 else 0) + outlier)
    level, growth = samples.growth('threads')
    assert growth == pytest.approx(10, rel=0.05)
    assert level == pytest.approx(np.median(7 + 0.01 * np.arange(101, 1000)), rel=0.1)


def test_a_training_that_fails_is_reported(soak, tmp_path, capfd):
    with pytest.raises(InputError, match='exit code 3'):
        soak.watch([sys.executable, '-c', 'print("the reason"); exit(3)'], tmp_path, STEPS, pause=20)
    assert 'the reason' in capfd.readouterr().err
