"""From audio to speech events: Silero VAD and the hysteresis over it, on espeak-ng's voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from voiceplane_speech_input.turns.settings import InterruptionsSection
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechEvent, SpeechStarted
from voiceplane_speech_input.vad.settings import VadSection
from voiceplane_speech_input.vad.silero import HOP_SAMPLES, WINDOW_SAMPLES, VadFrame, VoiceActivityDetector
from voiceplane_speech_input.vad.speech_detector import MAX_UNCERTAIN_MS, SpeechDetector

from tests.support.speech import SENTENCES, noise, offset_sample, onset_sample, silence, synthesize

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAD_S = 1.0


def detect(samples: NDArray[np.float32], **settings: int) -> list[SpeechEvent]:
    return SpeechDetector(VadSection.model_validate(settings)).process(VoiceActivityDetector().process(samples))


def edges(events: list[SpeechEvent]) -> list[SpeechEvent]:
    return [event for event in events if not isinstance(event, SpeechContinues)]


def frames(*probabilities: float, level_dbfs: float = -20.0) -> list[VadFrame]:
    return [
        VadFrame(
            start_sample=(index + 1) * HOP_SAMPLES - WINDOW_SAMPLES, probability=probability, level_dbfs=level_dbfs
        )
        for index, probability in enumerate(probabilities)
    ]


def hops(ms: float) -> int:
    return round(ms * 16 / HOP_SAMPLES)


class TestOnRealAudio:
    @pytest.mark.parametrize("noise_dbfs", [None, -50.0, -40.0])
    def test_speech_is_noticed_soon_after_its_onset_and_from_before_it(self, noise_dbfs: float | None) -> None:
        latencies_ms = []
        for index, sentence in enumerate(SENTENCES):
            speech = synthesize(sentence)
            # A different phase for each sentence, since the detector looks every 8 ms.
            samples = np.concatenate([silence(LEAD_S + index * 0.0037), speech, silence(1.0)])
            if noise_dbfs is not None:
                samples += noise(samples.size / 16_000, dbfs=noise_dbfs)
            true_onset = onset_sample(speech) + silence(LEAD_S + index * 0.0037).size
            started = next(event for event in detect(samples) if isinstance(event, SpeechStarted))
            latencies_ms.append((started.through_sample - true_onset) / 16)
            assert started.onset_sample < true_onset
        assert np.median(latencies_ms) < 50
        assert max(latencies_ms) < 140

    @pytest.mark.parametrize("sentence", SENTENCES[:3])
    def test_its_end_is_found(self, sentence: str) -> None:
        speech = synthesize(sentence)
        events = detect(np.concatenate([silence(LEAD_S), speech, silence(1.0)]))
        ended = [event for event in events if isinstance(event, SpeechEnded)][-1]
        assert abs(ended.end_sample - silence(LEAD_S).size - offset_sample(speech)) / 16 < 60
        assert (ended.through_sample - ended.end_sample) / 16 == pytest.approx(160, abs=8)

    @pytest.mark.parametrize("aggressiveness", [0, 1, 2, 3])
    def test_silence_noise_and_hum_are_no_speech(self, aggressiveness: int) -> None:
        hum = (0.1 * np.sin(2 * np.pi * 50 * np.arange(5 * 16_000) / 16_000)).astype(np.float32)
        for samples in (silence(5.0), noise(5.0, dbfs=-50.0), noise(5.0, dbfs=-30.0), hum):
            assert detect(samples, aggressiveness=aggressiveness) == []

    def test_a_deafening_noise_never_sounds_like_a_turn(self) -> None:
        events = detect(noise(20.0, dbfs=-10.0))
        voiced_ms = [event.voiced_ms for event in events if isinstance(event, SpeechContinues)]
        assert max(voiced_ms, default=0) < InterruptionsSection().confirm_ms

    def test_speech_far_below_the_gate_is_someone_else_s(self) -> None:
        faint = synthesize(SENTENCES[0]) * np.float32(10 ** (-38 / 20))
        samples = np.concatenate([silence(LEAD_S), faint, silence(1.0)])
        assert detect(samples, aggressiveness=3) == []
        assert detect(samples, aggressiveness=0) != []

    def test_the_size_of_the_pieces_does_not_matter(self) -> None:
        samples = np.concatenate([silence(0.3), synthesize(SENTENCES[0])])
        whole = VoiceActivityDetector().process(samples)
        for size in (1_000, 320, 7):
            pieces = VoiceActivityDetector()
            parts = [frame for at in range(0, samples.size, size) for frame in pieces.process(samples[at : at + size])]
            assert parts == whole

    def test_broken_samples_do_not_deafen_it(self) -> None:
        broken = silence(0.5)
        broken[::7] = np.nan
        broken[::11] = np.inf
        samples = np.concatenate([broken, silence(0.5), synthesize(SENTENCES[0])])
        assert any(isinstance(event, SpeechStarted) for event in detect(samples))

    def test_streams_do_not_hear_each_other(self) -> None:
        speech, nothing = VoiceActivityDetector(), VoiceActivityDetector()
        samples = synthesize(SENTENCES[0])
        for at in range(0, samples.size, 512):
            speech.process(samples[at : at + 512])
            assert all(frame.probability < 0.3 for frame in nothing.process(silence(0.032)))


class TestHysteresis:
    def test_one_certain_frame_starts_speech(self) -> None:
        started, continues = SpeechDetector(VadSection(pre_roll_ms=0)).process(frames(0.1, 0.1, 0.1, 0.1, 0.9))
        assert started == SpeechStarted(onset_sample=HOP_SAMPLES, through_sample=5 * HOP_SAMPLES)
        assert continues == SpeechContinues(voiced_ms=32, through_sample=5 * HOP_SAMPLES)

    def test_an_uncertain_frame_does_not(self) -> None:
        assert SpeechDetector(VadSection(aggressiveness=2)).process(frames(*[0.55] * 100)) == []

    def test_but_it_keeps_speech_alive_for_a_while(self) -> None:
        events = SpeechDetector(VadSection(aggressiveness=2)).process(frames(0.9, *[0.5] * hops(2000)))
        (ended,) = [event for event in events if isinstance(event, SpeechEnded)]
        assert (ended.end_sample - HOP_SAMPLES) / 16 == MAX_UNCERTAIN_MS

    def test_a_quiet_frame_is_no_speech_however_certain(self) -> None:
        assert SpeechDetector(VadSection()).process(frames(*[0.99] * 20, level_dbfs=-70.0)) == []

    def test_a_gap_within_a_word_does_not_end_it(self) -> None:
        events = SpeechDetector(VadSection()).process(frames(0.9, *[0.0] * (hops(160) - 1), 0.9, 0.9))
        assert [type(event) for event in edges(events)] == [SpeechStarted]

    def test_a_longer_one_does(self) -> None:
        events = SpeechDetector(VadSection()).process(frames(0.9, *[0.0] * hops(160), 0.9))
        assert [type(event).__name__ for event in edges(events)] == ["SpeechStarted", "SpeechEnded", "SpeechStarted"]

    def test_the_pre_roll_ends_where_the_last_speech_did(self) -> None:
        events = SpeechDetector(VadSection(pre_roll_ms=2000)).process(frames(0.9, 0.9, *[0.0] * hops(300), 0.9))
        first, ended, second = edges(events)
        assert isinstance(first, SpeechStarted)
        assert isinstance(ended, SpeechEnded)
        assert isinstance(second, SpeechStarted)
        assert first.onset_sample == 0
        assert second.onset_sample == ended.end_sample == 2 * HOP_SAMPLES

    def test_only_certain_frames_count_as_voice(self) -> None:
        events = SpeechDetector(VadSection()).process(frames(0.9, 0.35, 0.35, 0.9))
        assert isinstance(events[-1], SpeechContinues)
        assert events[-1].voiced_ms == 32 + 8
