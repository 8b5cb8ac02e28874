"""Barge-in: when speech of the user during the agent's reply takes the floor, and when the agent continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
from voiceplane_speech_input.turns.actions import DiscardReason
from voiceplane_speech_input.turns.words import base_language, words_of

if TYPE_CHECKING:
    from voiceplane_speech_input.turns.settings import InterruptionsSection
    from voiceplane_speech_input.turns.user_speech import UserSpeech

_SAMPLES_PER_MS = USER_SAMPLE_RATE_HZ // 1000


class BargeInPolicy:
    """The decisions of two-phase barge-in, by the settings and the language. Stateless."""

    def __init__(self, settings: InterruptionsSection, *, language: str) -> None:
        self._settings = settings
        self._backchannels = frozenset(settings.backchannels.get(base_language(language), ()))

    @property
    def allowed(self) -> bool:
        """Whether the user may interrupt the agent at all."""
        return self._settings.allow

    @property
    def respeaks(self) -> bool:
        """Whether a reply that was stopped without cause is spoken again."""
        return self._settings.respeak

    @property
    def resume_after_silence_ms(self) -> int:
        """Silence after a cough or backchannel before the agent continues."""
        return self._settings.resume_after_silence_ms

    def is_confirmed(self, speech: UserSpeech) -> bool:
        """Whether the speech is long enough to be a turn rather than a cough."""
        return speech.total_voiced_ms >= self._settings.confirm_ms

    def is_longer_than_backchannel(self, speech: UserSpeech) -> bool:
        """Whether the speech is too long to be a backchannel."""
        return speech.total_voiced_ms >= self._settings.backchannel_max_ms

    def needs_partial(self, speech: UserSpeech, *, through_sample: int) -> bool:
        """Whether the next partial transcript is due."""
        return through_sample - speech.requested_through_sample >= self._settings.partial_interval_ms * _SAMPLES_PER_MS

    def takes_the_floor(self, text: str) -> bool:
        """Whether these words interrupt the agent; backchannels do not count."""
        words = [word for word in words_of(text) if word not in self._backchannels]
        return len(words) >= self._settings.min_words


def discard_reason(text: str) -> DiscardReason:
    """Why speech with this transcript is no turn."""
    return DiscardReason.BACKCHANNEL if words_of(text) else DiscardReason.NO_WORDS
