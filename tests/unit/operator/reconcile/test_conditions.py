"""Conditions tell when a status last changed, and of which generation they were said."""

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


def test_a_verdict_becomes_a_whole_condition() -> None:
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


@pytest.mark.parametrize(("status", "told"), [(True, "True"), (False, "False"), (None, "Unknown")])
def test_a_status_is_said_in_kubernetes_words(status: bool | None, told: str) -> None:
    assert conditions([ready(status)], before=[], generation=1, now=NOW)[0]["status"] == told


@pytest.mark.parametrize(
    ("before", "status", "since"),
    [("True", True, EARLIER), ("True", False, NOW), ("False", None, NOW), ("Unknown", None, EARLIER)],
)
def test_only_another_status_is_a_transition(before: str, status: bool | None, since: str) -> None:
    (told,) = conditions([ready(status)], before=[standing(before)], generation=2, now=NOW)
    assert told["lastTransitionTime"] == since
    assert (told["reason"], told["message"], told["observedGeneration"]) == ("Because", "so it is", 2)


def test_each_type_keeps_its_own_time_and_the_order_is_that_of_the_verdicts() -> None:
    verdicts = [ready(True), ConditionState(type="Degraded", status=True, reason="Broken")]
    before = [standing("True", "Degraded"), standing("False", "Ready")]
    told = conditions(verdicts, before=before, generation=1, now=NOW)
    assert [(each["type"], each["lastTransitionTime"]) for each in told] == [("Ready", NOW), ("Degraded", EARLIER)]
    assert told[1]["message"] == ""


def test_a_type_of_which_nothing_is_said_any_more_goes() -> None:
    told = conditions([ready(True)], before=[standing("True", "Former")], generation=1, now=NOW)
    assert [each["type"] for each in told] == ["Ready"]


def test_a_message_has_a_longest_length() -> None:
    (told,) = conditions([ready(False, message="x" * 5000)], before=[], generation=1, now=NOW)
    assert told["message"] == "x" * MAX_MESSAGE_CHARS
