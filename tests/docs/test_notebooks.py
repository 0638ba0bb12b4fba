"""The notebooks run from top to bottom."""

from __future__ import annotations

import pytest

from tests.support.commands import ROOT


@pytest.mark.parametrize('path', sorted((ROOT / 'examples').glob('*.ipynb')), ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    nbformat = pytest.importorskip('nbformat', reason="pip install 'entropy-sde-plugin[test]'")
    nbclient = pytest.importorskip('nbclient', reason="pip install 'entropy-sde-plugin[test]'")
    notebook = nbformat.read(path, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get('outputs')], 'clear the outputs before you commit'
    resources = {'metadata': {'path': str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert any('image/png' in output.get('data', {}) for cell in code for output in cell.outputs)
