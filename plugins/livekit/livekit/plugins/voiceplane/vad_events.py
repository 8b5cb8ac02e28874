"""LiveKit's events of voice activity, from frames of audio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from livekit import rtc
from livekit.agents import vad
from voiceplane_speech_input.audio.decoder import UserAudioDecoder
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ, to_pcm
from voiceplane_speech_input.audio.ring_buffer import AudioRingBuffer
from voiceplane_speech_input.vad.events import SpeechEnded, SpeechStarted
from voiceplane_speech_input.vad.silero import HOP_SAMPLES, WINDOW_SAMPLES, VoiceActivityDetector
from voiceplane_speech_input.vad.speech_detector import SpeechDetector

if TYPE_CHECKING:
    from voiceplane_speech_input.audio.format import Samples
    from voiceplane_speech_input.vad.settings import VadSection
    from voiceplane_speech_input.vad.silero import VadFrame

UPDATE_INTERVAL_S = HOP_SAMPLES / USER_SAMPLE_RATE_HZ
# Of longer speech, the events carry only the end.
MAX_SPEECH_MS = 60_000


class VadEvents:
    """The events of one segment of a stream."""

    def __init__(self, settings: VadSection, *, rate_hz: int) -> None:
        self._decoder = UserAudioDecoder(sample_rate_hz=rate_hz)
        self._activity = VoiceActivityDetector()
        self._detector = SpeechDetector(settings)
        self._ring = AudioRingBuffer(capacity_ms=MAX_SPEECH_MS)
        self._onset: int | None = None  # first sample of the speech, with its pre-roll; None in silence
        self._began = 0  # first voiced sample of the speech
        self._reported = 0
        self._took_s = 0.0

    def process(self, frame: rtc.AudioFrame) -> list[vad.VADEvent]:
        """The events that a frame completes."""
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        samples = self._decoder.decode(pcm.mean(axis=1).astype("<i2").tobytes())
        self._ring.append(samples)
        began_s = time.perf_counter()
        windows = self._activity.process(samples)
        self._took_s += time.perf_counter() - began_s
        return [event for window in windows for event in self._window(window)]

    def _window(self, window: VadFrame) -> list[vad.VADEvent]:
        through = window.start_sample + WINDOW_SAMPLES
        found: list[vad.VADEvent] = []
        for event in self._detector.process([window]):
            match event:
                case SpeechStarted():
                    self._onset, self._began = event.onset_sample, window.start_sample
                    found.append(self._edge(vad.VADEventType.START_OF_SPEECH, event, through=through))
                case SpeechEnded():
                    found.append(self._edge(vad.VADEventType.END_OF_SPEECH, event, through=through))
                    self._onset = None
        return [*found, self._progress(window, through)]

    def _edge(self, kind: vad.VADEventType, event: SpeechStarted | SpeechEnded, *, through: int) -> vad.VADEvent:
        assert self._onset is not None  # noqa: S101 - an edge lies within speech
        ends = kind is vad.VADEventType.END_OF_SPEECH
        last_voiced = self._detector.end_sample if ends else through
        return vad.VADEvent(
            type=kind,
            samples_index=event.through_sample,
            timestamp=event.through_sample / USER_SAMPLE_RATE_HZ,
            speech_duration=(last_voiced - self._began) / USER_SAMPLE_RATE_HZ,
            silence_duration=(through - last_voiced) / USER_SAMPLE_RATE_HZ,
            frames=[_frame(self._ring.read(self._onset, through))],
            speaking=not ends,
        )

    def _progress(self, window: VadFrame, through: int) -> vad.VADEvent:
        speaking = self._onset is not None
        quiet = through - self._detector.end_sample
        event = vad.VADEvent(
            type=vad.VADEventType.INFERENCE_DONE,
            samples_index=through,
            timestamp=through / USER_SAMPLE_RATE_HZ,
            speech_duration=(through - self._began) / USER_SAMPLE_RATE_HZ if speaking else 0.0,
            silence_duration=0.0 if speaking else quiet / USER_SAMPLE_RATE_HZ,
            frames=[_frame(self._ring.read(self._reported, through))],
            probability=window.probability,
            inference_duration=self._took_s,
            speaking=speaking,
            raw_accumulated_silence=quiet / USER_SAMPLE_RATE_HZ,
            raw_accumulated_speech=(through - self._began) / USER_SAMPLE_RATE_HZ if speaking and not quiet else 0.0,
        )
        self._reported, self._took_s = through, 0.0
        return event


def _frame(samples: Samples) -> rtc.AudioFrame:
    return rtc.AudioFrame(to_pcm(samples), USER_SAMPLE_RATE_HZ, 1, samples.size)
