"""What the scripts compute and measure of scale: against a ring played through, operations counted layer by layer."""

import pytest
import torch

from entropy_sde_plugin.benchmark.training_steps import training_options
from entropy_sde_plugin.networks import ConditionalNAFNet
from entropy_sde_plugin.options.training import IRSDETrainOptions
from entropy_sde_plugin.utils.schema import parse
from tests.support.scripts import script


@pytest.fixture(scope='module')
def projection():
    return script('project_scaling')


@pytest.mark.parametrize('processes', [1, 2, 8])
def test_bytes_of_a_ring(projection, processes):
    """An all-reduce played through: chunks go round until each is summed somewhere, then until all have all sums."""
    held = [[float(process == chunk) + 1 for chunk in range(processes)] for process in range(processes)]
    wanted = [sum(chunks) for chunks in zip(*held, strict=True)]
    chunk_bytes, sent = 40, [0] * processes
    for turn in range(2 * (processes - 1)):
        moves = [(process, (process - turn) % processes) for process in range(processes)]
        values = [held[process][chunk] for process, chunk in moves]
        for (process, chunk), value in zip(moves, values, strict=True):
            neighbour = held[(process + 1) % processes]
            neighbour[chunk] = value + neighbour[chunk] if turn < processes - 1 else value
            sent[process] += chunk_bytes
    assert all(chunks == wanted for chunks in held)
    assert {projection.ring_bytes(processes, chunk_bytes * processes)} == set(sent)


def test_operations_are_those_of_the_layers(projection):
    """Three forward passes of the paper's network, two operations for each weight and place of a layer's output."""
    operations = 0

    def add(layer, _, output):
        nonlocal operations
        places = output.shape[0] if isinstance(layer, torch.nn.Linear) else output[:, 0].numel()
        operations += 2 * layer.weight.numel() * places

    with torch.device('meta'):
        network = ConditionalNAFNet(3, 64, 1, [1, 1, 1, 1, 28], [1, 1, 1, 1, 1])
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.register_forward_hook(add)
        network(torch.zeros(2, 3, 64, 64), torch.zeros(2, 3, 64, 64), 1)
    assert projection.count(batch=2, size=64) == (3 * operations, 287_965_571)


def test_the_slowest_part_of_the_ring_decides(projection):
    gpu = projection.GPU('made up', rate=1e12, memory=1e12, link=100e9)
    speeds = [projection.bandwidth(gpu, *shape) for shape in ((8, 0), (64, 1), (64, 8))]
    assert speeds == pytest.approx([80e9, 40e9, 80e9])


@pytest.mark.parametrize(('communication', 'seconds'), [(1.0, 3.5), (2.0, 3.5), (5.0, 6.5)])
def test_what_the_backward_pass_hides_costs_nothing(projection, communication, seconds):
    """Forward 1, backward 2, optimiser 0.5."""
    assert projection.Step(3.0, 0.5, communication).overlapped == pytest.approx(seconds)


def test_the_cases_of_the_precision_are_options():
    for case in script('bench_precision').CASES.values():
        opt = training_options('demo.yml')
        assert parse(IRSDETrainOptions, opt['train'] | case, 'train') is not None
