"""Overrides merge into the pod template as kubectl's strategic merge patch does."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from voiceplane_operator.builders.strategic_merge import merged

BASE: dict[str, Any] = {
    "containers": [
        {"name": "worker", "image": "worker:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
    ],
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "args": ["a", "b"],
    "priorityClassName": "high",
}


@pytest.mark.parametrize(
    ("patch", "field", "expected"),
    [
        ({"args": ["c"]}, "args", ["c"]),
        ({"priorityClassName": "low"}, "priorityClassName", "low"),
        ({"priorityClassName": None}, "priorityClassName", None),
        ({"hostIPC": True}, "hostIPC", True),
        ({"tolerations": [{"key": "x"}]}, "tolerations", [{"key": "gpu", "operator": "Exists"}, {"key": "x"}]),
        ({"tolerations": BASE["tolerations"]}, "tolerations", BASE["tolerations"]),
    ],
)
def test_plain_fields(patch: dict[str, Any], field: str, expected: Any) -> None:
    assert merged(BASE, patch).get(field) == expected


def test_named_items_merge_by_name_and_keep_the_rest() -> None:
    patch = {"containers": [{"name": "worker", "env": [{"name": "B", "value": "3"}]}, {"name": "sidecar"}]}
    worker, sidecar = merged(BASE, patch)["containers"]
    assert worker["image"] == "worker:1"
    assert worker["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert sidecar == {"name": "sidecar"}


def test_a_named_item_is_deleted() -> None:
    patch = {"containers": [{"name": "worker", "env": [{"name": "A", "$patch": "delete"}]}]}
    assert merged(BASE, patch)["containers"][0]["env"] == [{"name": "B", "value": "2"}]


def test_neither_side_is_changed() -> None:
    before = copy.deepcopy(BASE)
    patch = {"containers": [{"name": "worker", "image": "worker:2"}], "priorityClassName": None}
    merged(BASE, patch)
    assert before == BASE
    assert patch["priorityClassName"] is None
