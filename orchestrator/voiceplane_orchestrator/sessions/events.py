"""Events of a session for its client; docs/reference/websocket.md describes each field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

StateName = Literal["listening", "thinking", "speaking", "paused", "no_worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The agent's state."""

    type: ClassVar[str] = "state"
    state: StateName
    reason: str = ""
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What has been recognized so far of an open turn."""

    type: ClassVar[str] = "partial"
    turn: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The text of a user's turn, or the heard and unheard text of an utterance."""

    type: ClassVar[str] = "transcript"
    role: Literal["user", "agent"]
    text: str
    turn: int | None = None
    utterance: int | None = None
    final: bool = True
    interrupted: bool = False
    unheard: str = ""
    replaces: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The next text of an utterance."""

    type: ClassVar[str] = "reply"
    utterance: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceStarted:
    """An utterance starts: its first frame follows."""

    type: ClassVar[str] = "utterance"
    utterance: int
    epoch: int
    model: str = ""
    voice: str = ""
    fallback: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Pause playout now, and keep the buffer."""

    type: ClassVar[str] = "pause"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Continue at the exact next sample."""

    type: ClassVar[str] = "resume"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Drop the buffer; `epoch` is the new epoch."""

    type: ClassVar[str] = "stop"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """No more frames of this utterance will be sent.

    Attributes:
        compute_ms: The worker's compute time, if the utterance is complete. After a reroute, the last worker's.
    """

    type: ClassVar[str] = "done"
    utterance: int
    epoch: int
    result: Literal["complete", "empty", "interrupted"]
    samples: int
    compute_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Measured times in milliseconds.

    Attributes:
        endpointing_ms: From the end of the user's voice to the end of the turn.
        asr_ms: From then to the transcript.
        reply_first_token_ms: From then to the first text of the reply.
        first_audio_ms: From the end of the user's voice, or from the first text, to the first frame.
        barge_in_ms: From the first sound of the user to the pause.
    """

    type: ClassVar[str] = "latency"
    turn: int | None = None
    utterance: int | None = None
    endpointing_ms: float | None = None
    asr_ms: float | None = None
    reply_first_token_ms: float | None = None
    first_audio_ms: float | None = None
    barge_in_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The voice of the next utterance; an empty field leaves the choice to the server."""

    type: ClassVar[str] = "selected"
    model: str
    voice: str
    language: str
    speed: float
    segmentation: str
    markup: str = ""
    emoji: str = ""
    normalise: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """Another worker continues the utterance."""

    type: ClassVar[str] = "rerouted"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """An error; the session continues unless it is fatal."""

    type: ClassVar[str] = "error"
    code: str
    reason: str
    message: str
    field: str = ""
    retry_after_ms: int | None = None
    fatal: bool = False


SessionEvent = (
    State
    | Partial
    | Transcript
    | Reply
    | UtteranceStarted
    | Pause
    | Resume
    | Stop
    | Done
    | Latency
    | Selected
    | Rerouted
    | ErrorEvent
)


def error_event(error: VoiceplaneError, *, fatal: bool = False) -> ErrorEvent:
    """The event for an error."""
    return ErrorEvent(
        code=error.code.name,
        reason=error.reason,
        message=error.message,
        field=error.field,
        retry_after_ms=error.retry_after_ms,
        fatal=fatal,
    )
