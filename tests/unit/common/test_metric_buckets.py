"""Buckets and labels of metrics."""

from __future__ import annotations

import pytest
from voiceplane_common import metric_buckets


@pytest.mark.parametrize("name", ["LATENCY_BUCKETS_S", "JITTER_BUCKETS_S", "WORK_BUCKETS_S", "RATIO_BUCKETS"])
def test_buckets_grow(name: str) -> None:
    buckets = getattr(metric_buckets, name)
    assert list(buckets) == sorted(set(buckets))


def test_latency_buckets_reach_from_5_ms_to_10_s() -> None:
    assert (metric_buckets.LATENCY_BUCKETS_S[0], metric_buckets.LATENCY_BUCKETS_S[-1]) == (0.005, 10.0)


def test_only_the_first_values_of_a_label_keep_their_names() -> None:
    label = metric_buckets.BoundedLabelValues(most=2)
    assert [label(each) for each in ("a", "b", "c", "a", "d", "b")] == ["a", "b", "other", "a", "other", "b"]
