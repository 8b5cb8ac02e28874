"""Settings of turn-taking: endpointing and interruptions."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section

from voiceplane_speech_input.turns.words import BACKCHANNELS


class EndpointingSection(Section):
    """When a user's turn is over.

    Attributes:
        min_silence_ms: Silence that ends a turn while its words give no clear sign.
        finished_silence_ms: The same, when the words so far are a finished sentence.
        unfinished_silence_ms: The same, when they end with a conjunction, a hesitation or an incomplete number.
        max_turn_ms: A longer turn is cut; speech after the cut is the next turn.
        post_roll_ms: Audio after the last voiced window that belongs to the turn.
        stalled_ms: Speech counts as ended after this time without audio, as with a muted microphone.
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
        allow: False: the agent finishes, and only speech that continues after it becomes a turn.
        confirm_ms: Voice of this length is a turn, not a cough. After a shorter one the agent continues.
        backchannel_max_ms: Voice up to this length may be a backchannel: the agent stays paused until the words are
            known. If they are a backchannel, or there are none, it continues at the exact sample. A longer one stops
            the agent at once. At most confirm_ms: every confirmed turn stops the agent.
        min_words: Words that a transcript needs to stop the agent, without backchannels.
        resume_after_silence_ms: Silence after a cough or backchannel before the agent continues.
        partial_interval_ms: Time between two partial transcripts while the user speaks.
        respeak: If a reply was stopped but the user said nothing, repeat its unheard part.
        backchannels: Words by language (the primary subtag of a BCP 47 tag) that do not interrupt the agent.
    """

    allow: bool = True
    confirm_ms: int = Field(default=180, ge=0, le=5000)
    backchannel_max_ms: int = Field(default=600, ge=0, le=5000)
    min_words: int = Field(default=1, ge=1, le=10)
    resume_after_silence_ms: int = Field(default=200, ge=0, le=5000)
    partial_interval_ms: int = Field(default=500, ge=100, le=5000)
    respeak: bool = True
    backchannels: dict[str, tuple[str, ...]] = Field(default_factory=lambda: dict(BACKCHANNELS))
