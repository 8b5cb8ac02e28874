"""What the turn machine asks for. The session carries the actions out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PauseSpeech:
    """Fall silent now, and be ready to go on. It may come before the reply's first audio, which is then held back."""


@dataclass(frozen=True, slots=True)
class ResumeSpeech:
    """Go on at the very sample that the listener heard last."""


@dataclass(frozen=True, slots=True)
class StopSpeech:
    """Drop the reply: what is queued, what is being synthesized and what is being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginTurn:
    """The user has the floor; a turn is open until EndTurn or DiscardTurn.

    Attributes:
        turn_id: Grows from turn to turn, not always by 1.
        onset_sample: Where the turn's audio begins.
        continues: The turn that was ended too early and that this one takes back: onset_sample is that turn's, so its
            transcript must be cancelled or, if it was accepted already, removed from the conversation.
    """

    turn_id: int
    onset_sample: int
    continues: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTurn:
    """The turn is over: recognize its audio and answer with TurnTranscript.

    Attributes:
        turn_id: Of the BeginTurn.
        onset_sample: As in BeginTurn.
        end_sample: Exclusive. The onset itself if the speech ended just where max_turn_ms cut it.
        complete_partial: The latest partial, if it heard all that was said in the turn: it may stand in for the
            recognition that would otherwise follow.
    """

    turn_id: int
    onset_sample: int
    end_sample: int
    complete_partial: str | None = None


class DiscardReason(StrEnum):
    """Why what sounded like a turn is none."""

    BACKCHANNEL = "backchannel"
    NO_WORDS = "no_words"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardTurn:
    """Forget the turn; it gets no reply. It may be open, or ended and waiting for its transcript."""

    turn_id: int
    reason: DiscardReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptTurn:
    """The user has said this: answer it.

    Attributes:
        turn_id: Of the EndTurn.
        text: Not empty. It includes what was said in the turns before, if this one was cut from them by max_turn_ms.
    """

    turn_id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPartial:
    """Recognize the audio so far and answer with PartialTranscript; a later request supersedes an earlier one.

    Attributes:
        complete: The speech has paused, so this is all of the turn if the pause is its end.
    """

    turn_id: int
    onset_sample: int
    end_sample: int
    complete: bool = False


@dataclass(frozen=True, slots=True)
class RespeakInterrupted:
    """A reply was stopped for nothing: speak it again from the last sentence whose end the listener has not heard."""


TurnAction = (
    PauseSpeech
    | ResumeSpeech
    | StopSpeech
    | BeginTurn
    | EndTurn
    | DiscardTurn
    | AcceptTurn
    | RequestPartial
    | RespeakInterrupted
)
