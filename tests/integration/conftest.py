"""The weights of LPIPS."""

from tests.support.metric_weights import real_weights  # noqa: F401
