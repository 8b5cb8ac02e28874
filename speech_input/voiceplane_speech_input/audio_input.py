"""What a session hears: the client's audio, decoded, searched for voices and kept for recognition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from voiceplane_speech_input.audio.decoder import UserAudioDecoder
from voiceplane_speech_input.audio.ring_buffer import AudioRingBuffer
from voiceplane_speech_input.vad.speech_detector import SpeechDetector

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples
    from voiceplane_speech_input.turns.settings import EndpointingSection
    from voiceplane_speech_input.vad.events import SpeechEvent
    from voiceplane_speech_input.vad.settings import VadSection
    from voiceplane_speech_input.vad.silero import VadFrame

MARGIN_MS = 5_000
"""Kept beyond the longest turn, for what is said while a turn is being ended."""


class VoiceActivity(Protocol):
    """The part of vad.silero.VoiceActivityDetector that a session needs."""

    def process(self, samples: Samples) -> list[VadFrame]:
        """The frames that these samples complete."""
        ...


class AudioInput:
    """One user's microphone."""

    def __init__(
        self, *, sample_rate_hz: int, voices: VoiceActivity, vad: VadSection, endpointing: EndpointingSection
    ) -> None:
        """Begin to listen.

        Args:
            sample_rate_hz: Of the client's audio.
            voices: The voice activity of this stream alone.
            vad: When a voice is speech.
            endpointing: max_turn_ms says how much is kept.

        Raises:
            VoiceplaneError: The sample rate is none that can be decoded.
        """
        self._decoder = UserAudioDecoder(sample_rate_hz=sample_rate_hz)
        self._voices = voices
        self._detector = SpeechDetector(vad)
        self._recent = AudioRingBuffer(capacity_ms=endpointing.max_turn_ms + MARGIN_MS)

    def push(self, pcm: bytes) -> list[SpeechEvent]:
        """What the next piece of s16le mono audio means."""
        samples = self._decoder.decode(pcm)
        self._recent.append(samples)
        return self._detector.process(self._voices.process(samples))

    def read(self, start_sample: int, end_sample: int) -> Samples:
        """16 kHz audio by sample numbers of the stream."""
        return self._recent.read(start_sample, end_sample)
