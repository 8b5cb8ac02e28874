"""Nothing is asked twice, and nothing at all while nothing changes; the figures are those of `bench.operator`."""

from __future__ import annotations

import pytest

from bench import operator

# The first one may build Kubernetes.
pytestmark = pytest.mark.timeout(3600)


async def test_at_rest_no_call_is_made_and_no_voice_was_asked_for_twice() -> None:
    section = await operator.measure(models=30, pools=3, rest_s=5)
    figures = {str(name): value for name, value in section.rows}
    assert figures["API calls a minute at rest"] == 0
    assert figures["LoadModel calls per voice and worker"] == 1
