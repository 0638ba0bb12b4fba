"""The weights of LPIPS and DISTS."""

from tests.support.metric_weights import cache, real_weights  # noqa: F401
