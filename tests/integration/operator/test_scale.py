"""The operator repeats no call, and makes none while nothing changes; `bench.operator` measures it."""

from __future__ import annotations

import pytest

from bench import operator

# The first one may build Kubernetes.
pytestmark = pytest.mark.timeout(3600)


async def test_an_idle_operator_makes_no_calls() -> None:
    section = await operator.measure(models=30, pools=3, rest_s=5)
    figures = {str(name): value for name, value in section.rows}
    assert figures["API calls a minute at rest"] == 0
    assert figures["LoadModel calls per voice and worker"] == 1
