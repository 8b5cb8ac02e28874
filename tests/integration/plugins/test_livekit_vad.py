"""The plugin's voice activity, by LiveKit's own interface and beside LiveKit's own VAD."""

from __future__ import annotations

import asyncio
import statistics

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import inference, stt, vad
from livekit.plugins import voiceplane
from pydantic import ValidationError

from tests.support.speech import SENTENCES, offset_sample, onset_sample, silence, synthesize, word_error_rate

LEAD_S = 1.0
PATIENCE_S = 60


def frames_of(text: str, *, rate_hz: int = 16_000, channels: int = 1) -> list[rtc.AudioFrame]:
    """A second of silence, the text, a second of silence, in frames of 10 ms."""
    quiet = silence(LEAD_S, sample_rate_hz=rate_hz)
    samples = np.concatenate([quiet, synthesize(text, sample_rate_hz=rate_hz), quiet])
    pcm = np.repeat((samples * 32767).astype(np.int16), channels)
    size = rate_hz // 100
    return [
        rtc.AudioFrame(pcm[at : at + size * channels].tobytes(), rate_hz, channels, size)
        for at in range(0, pcm.size - size * channels + 1, size * channels)
    ]


async def told(activity: vad.VAD, frames: list[rtc.AudioFrame]) -> list[vad.VADEvent]:
    stream = activity.stream()
    for frame in frames:
        stream.push_frame(frame)
    stream.end_input()
    async with asyncio.timeout(PATIENCE_S):
        events = [event async for event in stream]
    await stream.aclose()
    return events


def edges(events: list[vad.VADEvent]) -> list[vad.VADEvent]:
    return [event for event in events if event.type is not vad.VADEventType.INFERENCE_DONE]


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (48_000, 1), (48_000, 2)])
async def test_speech_begins_and_ends_once_and_is_given_whole(rate_hz: int, channels: int) -> None:
    sentence = SENTENCES[7]
    speech = synthesize(sentence)
    speech_s = (offset_sample(speech) - onset_sample(speech)) / 16_000
    start, end = edges(await told(voiceplane.VAD(), frames_of(sentence, rate_hz=rate_hz, channels=channels)))
    assert (start.type, start.speaking) == (vad.VADEventType.START_OF_SPEECH, True)
    assert (end.type, end.speaking) == (vad.VADEventType.END_OF_SPEECH, False)
    assert start.frames[0].duration == pytest.approx(0.3, abs=0.1)  # with the pre-roll
    assert end.speech_duration == pytest.approx(speech_s, abs=0.2)
    assert end.frames[0].duration == pytest.approx(0.3 + speech_s + 0.25, abs=0.3)


async def test_what_is_reported_of_windows_adds_up() -> None:
    frames = frames_of(SENTENCES[0])
    windows = [each for each in await told(voiceplane.VAD(), frames) if each.type is vad.VADEventType.INFERENCE_DONE]
    assert sum(each.frames[0].duration for each in windows) == pytest.approx(
        sum(each.duration for each in frames), abs=0.04
    )
    speaking = [each for each in windows if each.speaking]
    assert speaking
    assert all(each.speech_duration > 0 and each.silence_duration == 0 for each in speaking)
    assert any(each.raw_accumulated_speech > 0 for each in speaking)
    assert all(each.raw_accumulated_speech == 0 for each in windows if not each.speaking)
    quiet = [each.raw_accumulated_silence for each in windows if each.timestamp > windows[-1].timestamp - 0.3]
    assert quiet == sorted(quiet)
    assert quiet[-1] > 0.5


async def test_it_notices_speech_sooner_than_livekits_own() -> None:
    async def waits_ms(activity: vad.VAD) -> list[float]:
        waits = []
        for sentence in SENTENCES:
            first = edges(await told(activity, frames_of(sentence)))[0]
            onset_s = LEAD_S + onset_sample(synthesize(sentence)) / 16_000
            waits.append((first.timestamp - onset_s) * 1000)
        return waits

    ours, theirs = await waits_ms(voiceplane.VAD()), await waits_ms(inference.VAD())
    assert statistics.median(ours) < statistics.median(theirs)


async def test_after_a_flush_nothing_is_known_of_before() -> None:
    frames = frames_of(SENTENCES[0])
    stream = voiceplane.VAD().stream()
    for frame in frames[:200]:  # into the middle of the sentence
        stream.push_frame(frame)
    stream.flush()
    for frame in frames[:50]:
        stream.push_frame(frame)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    assert [event.type for event in edges(events)] == [vad.VADEventType.START_OF_SPEECH]
    assert not events[-1].speaking
    assert events[-1].timestamp == pytest.approx(0.5, abs=0.04)


async def test_with_the_plugins_stt_it_makes_a_streaming_recognizer() -> None:
    recognizer = stt.StreamAdapter(stt=voiceplane.STT(), vad=voiceplane.VAD(end_silence_ms=400))
    stream = recognizer.stream()
    for frame in frames_of(SENTENCES[6]) + frames_of(SENTENCES[7]):
        stream.push_frame(frame)
    stream.end_input()
    async with asyncio.timeout(PATIENCE_S):
        events = [event async for event in stream]
    await stream.aclose()
    await recognizer.aclose()
    finals = [event for event in events if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT]
    heard = " ".join(event.alternatives[0].text for event in finals)
    assert word_error_rate([" ".join(SENTENCES[6:8])], [heard]) <= 0.15, heard


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(ValidationError, match="aggressiveness"):
        voiceplane.VAD(aggressiveness=4)
