"""What a session tells its listener; docs/reference/websocket.md says what each field means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError

StateName = Literal["listening", "thinking", "speaking", "paused", "no_worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the agent does now."""

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
    """What the user said in a turn, or what the listener heard of an utterance, and what not if it was interrupted."""

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
    """More of the text that an utterance is to say."""

    type: ClassVar[str] = "reply"
    utterance: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceStarted:
    """The first frame of an utterance follows."""

    type: ClassVar[str] = "utterance"
    utterance: int
    epoch: int
    model: str = ""
    voice: str = ""
    fallback: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Fall silent now, keep what is buffered."""

    type: ClassVar[str] = "pause"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on at the exact next sample."""

    type: ClassVar[str] = "resume"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Forget what is buffered; `epoch` is the new one."""

    type: ClassVar[str] = "stop"
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """No more frames of this utterance will be sent.

    Attributes:
        compute_ms: What the worker computed for it; None unless it is complete. After a reroute, of its last worker.
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
        endpointing_ms: From the end of the user's voice until that counted as the end of the turn.
        asr_ms: From then until the words were known.
        reply_first_token_ms: From then until the reply began.
        first_audio_ms: From the end of the user's voice, or from the first text, until the first frame.
        barge_in_ms: From the first sound of the user until the pause.
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
    """What the next utterance will be spoken with; empty: the server's choice."""

    type: ClassVar[str] = "selected"
    model: str
    voice: str
    language: str
    speed: float
    segmentation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerouted:
    """Another worker goes on."""

    type: ClassVar[str] = "rerouted"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """Something went wrong; the session goes on unless it is fatal."""

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
    """The event of an error."""
    return ErrorEvent(
        code=error.code.name,
        reason=error.reason,
        message=error.message,
        field=error.field,
        retry_after_ms=error.retry_after_ms,
        fatal=fatal,
    )
