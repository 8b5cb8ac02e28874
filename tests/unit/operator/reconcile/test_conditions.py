"""Conditions keep their transition time, and have the generation that they are about."""

from __future__ import annotations

import pytest
from voiceplane_operator.reconcile.conditions import MAX_MESSAGE_CHARS, ConditionState, conditions

EARLIER = "2026-11-23T00:00:00Z"
NOW = "2026-11-24T00:00:00Z"


def ready(status: bool | None, reason: str = "Because", message: str = "so it is") -> ConditionState:
    return ConditionState(type="Ready", status=status, reason=reason, message=message)


def standing(status: str, kind: str = "Ready") -> dict[str, str | int]:
    return {
        "type": kind,
        "status": status,
        "reason": "Former",
        "message": "as it was",
        "lastTransitionTime": EARLIER,
        "observedGeneration": 1,
    }


def test_a_state_becomes_a_complete_condition() -> None:
    assert conditions([ready(True)], before=[], generation=7, now=NOW) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Because",
            "message": "so it is",
            "lastTransitionTime": NOW,
            "observedGeneration": 7,
        }
    ]


@pytest.mark.parametrize(("status", "expected"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_a_status_is_true_false_or_unknown(status: bool | None, expected: str) -> None:
    assert conditions([ready(status)], before=[], generation=1, now=NOW)[0]["status"] == expected


@pytest.mark.parametrize(
    ("before", "status", "since"),
    [("True", True, EARLIER), ("True", False, NOW), ("False", None, NOW), ("Unknown", None, EARLIER)],
)
def test_only_another_status_is_a_transition(before: str, status: bool | None, since: str) -> None:
    (found,) = conditions([ready(status)], before=[standing(before)], generation=2, now=NOW)
    assert found["lastTransitionTime"] == since
    assert (found["reason"], found["message"], found["observedGeneration"]) == ("Because", "so it is", 2)


def test_each_type_keeps_its_own_transition_time() -> None:
    verdicts = [ready(True), ConditionState(type="Degraded", status=True, reason="Broken")]
    before = [standing("True", "Degraded"), standing("False", "Ready")]
    found = conditions(verdicts, before=before, generation=1, now=NOW)
    assert [(each["type"], each["lastTransitionTime"]) for each in found] == [("Ready", NOW), ("Degraded", EARLIER)]
    assert found[1]["message"] == ""


def test_a_type_without_a_state_is_removed() -> None:
    found = conditions([ready(True)], before=[standing("True", "Former")], generation=1, now=NOW)
    assert [each["type"] for each in found] == ["Ready"]


def test_a_message_has_a_maximum_length() -> None:
    (found,) = conditions([ready(False, message="x" * 5000)], before=[], generation=1, now=NOW)
    assert found["message"] == "x" * MAX_MESSAGE_CHARS
