"""Settings of voice activity detection."""

from __future__ import annotations

from pydantic import Field
from voiceplane_common.settings import Section


class VadSection(Section):
    """Voice activity detection.

    Attributes:
        aggressiveness: 0 detects every whisper, 3 only clear speech; vad.speech_detector lists the thresholds.
        pre_roll_ms: Audio before the first voiced window that belongs to the speech, for its first syllable.
        end_silence_ms: Silence after which speech counts as ended; shorter gaps are part of it.
    """

    aggressiveness: int = Field(default=1, ge=0, le=3)
    pre_roll_ms: int = Field(default=300, ge=0, le=2000)
    end_silence_ms: int = Field(default=160, ge=32, le=1000)
