"""An engine that is off is found."""

from __future__ import annotations

import pytest

from entropy_sde_plugin.benchmark.part import Settings
from entropy_sde_plugin.benchmark.parts import engines
from entropy_sde_plugin.losses.spatial_entropy.native import engine as native_engine


@pytest.mark.skipif(not native_engine.available(), reason=str(native_engine.why_unavailable()))
def test_an_engine_that_is_off_has_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    right = native_engine.distance_and_gradient

    def wrong(*arguments: object) -> tuple[object, ...]:
        value, *gradients = right(*arguments)
        return value, *(1.0001 * gradient for gradient in gradients)

    monkeypatch.setattr(native_engine, 'distance_and_gradient', wrong)
    problems = {row.case: row.problem for row in engines.rows(Settings('cpu', quick=True))}
    assert {case.split(':')[0].split(',')[0] for case, problem in problems.items() if problem} == {'native'}
    assert problems['native: hellinger 1-3, L 8, 1x3x8x8'] == 'differs by 0.0001, more than 1e-05'
    assert problems['torch: hellinger 1-3, L 8, 1x3x8x8'] == ''
