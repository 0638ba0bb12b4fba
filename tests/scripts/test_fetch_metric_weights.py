"""The script that takes weights from a package trusts no pickle."""

import os
import pickle

import numpy as np
import pytest
import torch

from tests.support.scripts import script


@pytest.fixture(scope='module')
def program():
    return script('fetch_metric_weights')


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('content', [Call(os.getcwd), Call(eval, '1'), Call(np.load, 'x'), {'Net': Call(print)}])
def test_code_in_a_pickle_is_refused(program, content):
    with pytest.raises(pickle.UnpicklingError, match='in a file of arrays'):
        program.convolutions(pickle.dumps(content), 'Net', (0,))


def test_kernels_are_turned(program):
    """A convolution by JAX's kernel (H, W, in, out), written out, is PyTorch's by what the script makes of it."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 2, 4, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    # As NumPy 1 wrote it: the module that NumPy 2 renamed.
    pickled = pickle.dumps({'Net': {'Conv_0': {'kernel': kernel, 'bias': bias}}}, protocol=3)
    pickled = pickled.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    state = program.convolutions(pickled, 'Net', (7,))
    image = rng.normal(size=(3, 2, 4)).astype(np.float32)
    expected = np.einsum('hwi,hwio->o', image, kernel) + bias
    weight, offset = state['features.7.weight'], state['features.7.bias']
    result = torch.nn.functional.conv2d(torch.from_numpy(image).permute(2, 0, 1)[None], weight, offset)
    assert np.allclose(result.flatten(), expected, atol=1e-5)
