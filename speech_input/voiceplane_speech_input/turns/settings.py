"""Settings of turn-taking: endpointing and interruptions."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section

from voiceplane_speech_input.turns.words import BACKCHANNELS


class EndpointingSection(Section):
    """When a user's turn is over.

    Attributes:
        min_silence_ms: Quiet that ends a turn as long as its words say neither that it is finished nor that it is not.
        finished_silence_ms: The same, once the words so far read like a finished sentence.
        unfinished_silence_ms: The same, while they end in a conjunction, a hesitation or a number in progress.
        max_turn_ms: A turn is cut here; what is said after that is the next turn.
        post_roll_ms: Audio after the last voiced window that belongs to the turn.
        stalled_ms: Without any audio for so long, speech counts as ended: a muted microphone or a lost connection.
    """

    min_silence_ms: int = Field(default=500, ge=100, le=10_000)
    finished_silence_ms: int = Field(default=300, ge=100, le=10_000)
    unfinished_silence_ms: int = Field(default=1000, ge=100, le=10_000)
    max_turn_ms: int = Field(default=30_000, ge=1000, le=120_000)
    post_roll_ms: int = Field(default=160, ge=0, le=1000)
    stalled_ms: int = Field(default=1000, ge=100, le=10_000)


class InterruptionsSection(Section):
    """What happens when the user speaks while the agent does.

    Attributes:
        allow: False: the agent finishes; only speech that still goes on then becomes a turn.
        confirm_ms: Voice for so long is a turn of the user, not a cough. A shorter one makes the agent go on.
        backchannel_max_ms: Voice up to this length may be a backchannel: the agent stays paused until the words are
            known, and goes on at the exact sample if they are one or if there are none. A longer one stops the agent
            at once. At most confirm_ms: every confirmed turn stops the agent.
        min_words: Words that a transcript needs to stop the agent; backchannels don't count.
        resume_after_silence_ms: Quiet after a cough or backchannel before the agent goes on.
        partial_interval_ms: While the user speaks, the time between two partial transcripts.
        respeak: If a reply was stopped and nothing was said, speak it again from where it was not heard.
        backchannels: Words by language (the first part of a BCP 47 tag) that don't take the floor.
    """

    allow: bool = True
    confirm_ms: int = Field(default=180, ge=0, le=5000)
    backchannel_max_ms: int = Field(default=600, ge=0, le=5000)
    min_words: int = Field(default=1, ge=1, le=10)
    resume_after_silence_ms: int = Field(default=200, ge=0, le=5000)
    partial_interval_ms: int = Field(default=500, ge=100, le=5000)
    respeak: bool = True
    backchannels: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(BACKCHANNELS))
