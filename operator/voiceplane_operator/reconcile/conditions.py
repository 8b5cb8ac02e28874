"""Status conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_MESSAGE_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionState:
    """The new state of one condition.

    Attributes:
        type: Such as Ready.
        status: None for Unknown.
        reason: CamelCase.
        message: What happened and what to do.
    """

    type: str
    status: bool | None
    reason: str
    message: str = ""


def conditions(
    states: Iterable[ConditionState], *, before: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions of a status.

    Args:
        states: One for each type.
        before: The present conditions; one with an unchanged status keeps its transition time.
        generation: Of the spec that the states are about.
        now: RFC 3339.
    """
    known = {each["type"]: each for each in before}
    result = []
    for state in states:
        status = {True: "True", False: "False", None: "Unknown"}[state.status]
        old = known.get(state.type)
        since = old["lastTransitionTime"] if old and old["status"] == status else now
        result.append(
            {
                "type": state.type,
                "status": status,
                "reason": state.reason,
                "message": state.message[:MAX_MESSAGE_CHARS],
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return result


def rfc3339_now() -> str:
    """The present time, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
