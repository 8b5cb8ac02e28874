"""An utterance of the agent, and the voice that speaks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.utterance_metrics import UtteranceMetrics


@dataclass(slots=True, kw_only=True)
class AgentUtterance:
    """One utterance.

    Attributes:
        metrics: Its latencies and result.
        text: Its text so far.
        samples: Samples of 48 kHz that were sent to the client.
        compute_us: The worker's compute time in microseconds; known with its last frame.
        heard_samples: Samples that the client has played.
        heard_text: The text that the user heard; known at the end.
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
        """Its id in frames, which is its number."""
        return str(self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveVoice:
    """The voice of a session on a worker.

    Attributes:
        fallback: Whether another model than the requested one speaks.
        reason: Why this worker and model were chosen.
    """

    model: str = ""
    voice: str = ""
    fallback: bool = False
    reason: str = ""
