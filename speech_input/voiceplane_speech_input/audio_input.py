"""A session's audio input: decodes the client's audio, detects speech in it, and buffers it for recognition."""

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
"""Buffered beyond the longest turn, for speech that begins while a turn ends."""


class VoiceActivity(Protocol):
    """The interface of vad.silero.VoiceActivityDetector."""

    def process(self, samples: Samples) -> list[VadFrame]:
        """The frames that the next samples complete."""
        ...


class AudioInput:
    """One user's microphone."""

    def __init__(
        self, *, sample_rate_hz: int, voice_activity: VoiceActivity, vad: VadSection, endpointing: EndpointingSection
    ) -> None:
        """Begin a stream.

        Args:
            sample_rate_hz: Sample rate of the client's audio, in Hz.
            voice_activity: The voice activity detector of this stream alone.
            vad: The thresholds of speech.
            endpointing: Its max_turn_ms sets how much audio is buffered.

        Raises:
            VoiceplaneError: The sample rate is not supported.
        """
        self._decoder = UserAudioDecoder(sample_rate_hz=sample_rate_hz)
        self._voice_activity = voice_activity
        self._detector = SpeechDetector(vad)
        self._ring_buffer = AudioRingBuffer(capacity_ms=endpointing.max_turn_ms + MARGIN_MS)

    def push(self, pcm: bytes) -> list[SpeechEvent]:
        """Process the next s16le mono PCM; returns the events of speech in it."""
        samples = self._decoder.decode(pcm)
        self._ring_buffer.append(samples)
        return self._detector.process(self._voice_activity.process(samples))

    def read(self, start_sample: int, end_sample: int) -> Samples:
        """16 kHz audio by sample positions in the stream."""
        return self._ring_buffer.read(start_sample, end_sample)
