"""The weights of LPIPS."""

from tests.support.metric_weights import cache, real_weights  # noqa: F401
