"""The plugin for LiveKit Agents, against a real worker: what it gives, what it frees, and how it fails."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError
from livekit.plugins import voiceplane
from voiceplane_client import WorkerClient
from voiceplane_worker.app import Worker

from tests.support.processes import free_port
from tests.support.speech import SENTENCES, synthesize, word_error_rate
from tests.support.workers import mock_worker_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livekit.agents import tts

README = Path(__file__).parents[3] / "plugins" / "livekit" / "README.md"
ONCE = APIConnectOptions(max_retry=0, timeout=5.0)
CHARACTER_S = 0.06  # of the mock voice
PATIENCE_S = 20


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[Worker]:
    async with Worker(mock_worker_settings()) as worker:
        yield worker


@pytest_asyncio.fixture
async def speaker(worker: Worker) -> AsyncIterator[voiceplane.TTS]:
    speaker = voiceplane.TTS(worker=worker.address)
    yield speaker
    await speaker.aclose()


async def spoken(stream: tts.ChunkedStream | tts.SynthesizeStream) -> list[tts.SynthesizedAudio]:
    async with asyncio.timeout(PATIENCE_S), stream:
        return [audio async for audio in stream]


def seconds(audio: list[tts.SynthesizedAudio]) -> float:
    return sum(each.frame.duration for each in audio)


async def sessions(worker: Worker) -> int:
    async with WorkerClient(worker.address) as client:
        async for state in client.watch_state():
            return int(state.load.sessions)
    raise AssertionError("the worker has told nothing")


async def until_idle(worker: Worker) -> None:
    async with asyncio.timeout(PATIENCE_S), WorkerClient(worker.address) as client:
        async for state in client.watch_state():
            if state.load.sessions == 0 and state.load.queue_depth == 0:
                return


async def test_a_text_is_spoken_whole_at_48_khz(worker: Worker, speaker: voiceplane.TTS) -> None:
    text = "one two three"
    audio = await spoken(speaker.synthesize(text))
    assert {(each.frame.sample_rate, each.frame.num_channels) for each in audio} == {(48_000, 1)}
    assert seconds(audio) == pytest.approx(len(text) * CHARACTER_S, abs=0.05)
    assert audio[-1].is_final
    await until_idle(worker)


async def test_text_is_spoken_while_it_is_still_being_written(speaker: voiceplane.TTS) -> None:
    stream = speaker.stream()
    async with asyncio.timeout(PATIENCE_S), stream:
        stream.push_text("This is the first sentence, which is long enough. ")
        first = await anext(stream)  # nothing says yet that the text has ended
        assert first.frame.duration > 0
        stream.push_text("And this is the second one.")
        stream.end_input()
        rest = [audio async for audio in stream]
    assert seconds([first, *rest]) > 2.0


async def test_a_flush_ends_nothing_that_was_said_before(speaker: voiceplane.TTS) -> None:
    stream = speaker.stream()
    stream.push_text("one two ")
    stream.push_text("three")
    stream.flush()
    stream.end_input()
    audio = await spoken(stream)
    assert seconds(audio) == pytest.approx(13 * CHARACTER_S, abs=0.05)


async def test_an_interruption_frees_the_worker(worker: Worker, speaker: voiceplane.TTS) -> None:
    stream = speaker.synthesize("a very long text that goes on " * 40)
    async with asyncio.timeout(PATIENCE_S):
        await anext(stream)
        assert await sessions(worker) == 1
        await stream.aclose()
        await until_idle(worker)


async def test_streams_share_a_connection_and_do_not_mix(speaker: voiceplane.TTS) -> None:
    texts = ["a" * 10, "b" * 20, "c" * 30, "d" * 40]
    audio = await asyncio.gather(*(spoken(speaker.synthesize(text)) for text in texts))
    for text, each in zip(texts, audio, strict=True):
        assert seconds(each) == pytest.approx(len(text) * CHARACTER_S, abs=0.05)


async def test_another_voice_speaks_from_the_next_stream_on(speaker: voiceplane.TTS) -> None:
    def pitch(audio: list[tts.SynthesizedAudio]) -> float:
        pcm = np.concatenate([np.frombuffer(each.frame.data, np.int16) for each in audio]).astype(np.float64)
        return float(np.fft.rfftfreq(pcm.size, 1 / 48_000)[np.abs(np.fft.rfft(pcm)).argmax()])

    low = pitch(await spoken(speaker.synthesize("aaaaaaaa")))
    speaker.update_options(voice="high")
    assert pitch(await spoken(speaker.synthesize("aaaaaaaa"))) == pytest.approx(2 * low, rel=0.05)


async def test_an_unknown_model_is_not_tried_again(worker: Worker) -> None:
    speaker = voiceplane.TTS(worker=worker.address, model="unheard-of")
    with contextlib.closing(_Counting(speaker)) as errors, pytest.raises(APIStatusError) as caught:
        await spoken(speaker.synthesize("hello"))
    await speaker.aclose()
    assert (caught.value.status_code, caught.value.retryable) == (404, False)
    assert caught.value.body == {"reason": "MODEL_NOT_FOUND", "field": "model_id"}
    assert errors.recoverable == [False]


async def test_a_worker_that_is_away_is_tried_again() -> None:
    speaker = voiceplane.TTS(worker=f"127.0.0.1:{free_port()}")
    options = APIConnectOptions(max_retry=1, retry_interval=0.0)
    with contextlib.closing(_Counting(speaker)) as errors, pytest.raises(APIConnectionError):
        await spoken(speaker.synthesize("hello", conn_options=options))
    await speaker.aclose()
    assert errors.recoverable == [True, False]


async def test_text_without_anything_to_speak_is_said_to_be_so(speaker: voiceplane.TTS) -> None:
    with pytest.raises(APIError, match="no audio frames"):
        await spoken(speaker.synthesize("...", conn_options=ONCE))


async def test_metrics_tell_the_first_byte(speaker: voiceplane.TTS) -> None:
    told: list[Any] = []
    speaker.on("metrics_collected", told.append)
    await spoken(speaker.synthesize("one two three"))
    (metrics,) = told
    assert 0 < metrics.ttfb < metrics.duration
    assert metrics.audio_duration == pytest.approx(13 * CHARACTER_S, abs=0.05)


async def test_it_hears_what_another_voice_says() -> None:
    recognizer = voiceplane.STT()
    heard = []
    for sentence in SENTENCES[:3]:
        pcm = (synthesize(sentence, sample_rate_hz=48_000) * 32767).astype(np.int16)
        event = await recognizer.recognize([rtc.AudioFrame(pcm.tobytes(), 48_000, 1, pcm.size)])
        heard.append(event.alternatives[0].text)
    await recognizer.aclose()
    assert word_error_rate(list(SENTENCES[:3]), heard) <= 0.15


async def test_the_readmes_example_makes_a_session() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)  # noqa: S102  # our own page
    session = names["session"]
    assert isinstance(getattr(session, "tts", None), voiceplane.TTS)


class _Counting:
    """Whether each error that a speaker tells was said to be recoverable."""

    def __init__(self, speaker: voiceplane.TTS) -> None:
        self.recoverable: list[bool] = []
        self._speaker = speaker
        speaker.on("error", self._note)

    def _note(self, error: tts.TTSError) -> None:
        self.recoverable.append(error.recoverable)

    def close(self) -> None:
        self._speaker.off("error", self._note)
