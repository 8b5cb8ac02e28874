"""Conditions, as Kubernetes tools read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_MESSAGE_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionState:
    """What is to be said of one aspect.

    Attributes:
        type: Such as Ready.
        status: None for Unknown.
        reason: CamelCase.
        message: For people.
    """

    type: str
    status: bool | None
    reason: str
    message: str = ""


def conditions(
    verdicts: Iterable[ConditionState], *, before: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Verdicts as conditions.

    Args:
        verdicts: One for each type.
        before: The conditions that stand; an unchanged status keeps its transition time.
        generation: Of the spec that is judged.
        now: RFC 3339.
    """
    known = {each["type"]: each for each in before}
    result = []
    for verdict in verdicts:
        status = {True: "True", False: "False", None: "Unknown"}[verdict.status]
        old = known.get(verdict.type)
        since = old["lastTransitionTime"] if old and old["status"] == status else now
        result.append(
            {
                "type": verdict.type,
                "status": status,
                "reason": verdict.reason,
                "message": verdict.message[:MAX_MESSAGE_CHARS],
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return result


def rfc3339_now() -> str:
    """The present time, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
