"""One thing that a session says, and with which voice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.utterance_metrics import UtteranceMetrics


@dataclass(slots=True, kw_only=True)
class AgentUtterance:
    """One thing said.

    Attributes:
        account: What is measured of it.
        text: All of its text so far.
        samples: Sent to the listener.
        compute_us: What its worker computed for it; known with its last frame.
        heard_samples: Played by the listener.
        heard_text: What the listener heard; known at the end.
    """

    number: int
    epoch: int
    metrics: UtteranceMetrics
    text: str = ""
    samples: int = 0
    compute_us: int = 0
    heard_samples: int = 0
    heard_text: str = ""
    result: Literal["", "complete", "empty", "interrupted", "failed"] = ""
    started_s: float | None = None
    reported_s: float | None = None
    kept: bytearray = field(default_factory=bytearray)

    @property
    def utterance_id(self) -> str:
        """Its name towards the worker, from which a transport gets the number back."""
        return str(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveVoice:
    """The voice that a worker speaks with."""

    model: str = ""
    voice: str = ""
    fallback: bool = False
    reason: str = ""
