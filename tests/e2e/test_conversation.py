"""Users speak, Voiceplane answers with a real voice and stops when interrupted: nothing is faked."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import aiohttp
import numpy as np
import pytest
import soxr

from bench.websocket import Audio, Socket
from tests.support.playing_client import PlayingClient
from tests.support.speech import SENTENCES, silence, synthesize, word_error_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

RATE_HZ = 16_000
LONG_REPLY = (
    "Certainly, I can tell you all about it. The next bus to the museum leaves at a quarter past nine from the main "
    "square, and it takes about twenty minutes to get there. You can buy the ticket from the driver."
)


def pcm(samples: NDArray[np.float32]) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def heard_by_a_user(frames: list[Audio]) -> NDArray[np.float32]:
    """What a listener heard, at 16 kHz."""
    whole = b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in frames)
    samples = np.frombuffer(whole, "<i2").astype(np.float32) / 32768
    resampled: NDArray[np.float32] = soxr.resample(samples, 48_000, RATE_HZ)
    return resampled


async def speak(socket: Socket, samples: NDArray[np.float32]) -> None:
    """Speak into the microphone, with the silence that follows."""
    for audio in (samples, silence(1.2)):
        for start in range(0, len(audio), RATE_HZ // 10):
            await socket.send_audio(pcm(audio[start : start + RATE_HZ // 10]))


async def test_ten_sentences_are_understood_and_answered_in_words_that_are_understood(
    server: str, recognizer: WhisperRecognizer
) -> None:
    understood: list[str] = []
    answered: list[str] = []
    for sentence in SENTENCES:
        async with Socket.open(server, "/v1/talk", sample_rate_hz=RATE_HZ) as socket:
            listener = PlayingClient(socket)
            await speak(socket, synthesize(sentence))
            transcript = await listener.until("transcript", role="user", final=True)
            await listener.until("done", result="complete")
        understood.append(transcript["text"])
        echo = await recognizer.transcribe(heard_by_a_user(listener.frames), language="en")
        answered.append(echo.text)
    heard_wer = word_error_rate(list(SENTENCES), understood)
    spoken_wer = word_error_rate(understood, answered)
    print(f"\nWER: of what was heard {heard_wer:.1%}, of what was answered {spoken_wer:.1%}")
    assert heard_wer <= 0.15, understood
    assert spoken_wer <= 0.15, list(zip(understood, answered, strict=True))


async def test_an_interruption_stops_the_reply_and_is_heard_from_its_first_word(server: str) -> None:
    async with Socket.open(server, "/v1/talk", sample_rate_hz=RATE_HZ) as socket:
        listener = PlayingClient(socket)
        await socket.send(type="say", text=LONG_REPLY)
        await listener.until_frames(60)
        await speak(socket, synthesize("Please stop talking and listen to me."))
        await listener.until("pause")
        stop = await listener.until("stop")
        so_far = len(listener.frames)
        transcript = await listener.until("transcript", role="user", final=True)
        await listener.until("done", result="complete")
    assert transcript["text"].lower().startswith("please"), "the first word is heard"
    assert {frame.epoch for frame in listener.frames[so_far:]} == {stop["epoch"]}, "nothing stale after the stop"
    assert max(frame.epoch for frame in listener.frames[:so_far]) < stop["epoch"]


async def test_a_short_sound_pauses_the_reply_which_goes_on_without_a_sample_lost_or_repeated(server: str) -> None:
    """A cut-off vowel: a voice to the VAD, but too short for a turn."""
    async with aiohttp.ClientSession() as http, http.post(f"{server}/v1/models/mock/load") as response:
        assert response.status == 200, "the mock voice is always the same, so its samples can be compared"
    cough = synthesize("Ah.")[: RATE_HZ // 10] * np.float32(1.5)
    async with Socket.open(server, "/v1/talk", sample_rate_hz=RATE_HZ, model="mock") as socket:
        listener = PlayingClient(socket)
        await socket.send(type="say", text="One two three four five six seven eight nine ten eleven twelve.")
        await listener.until_frames(60)
        await speak(socket, cough)
        await listener.until("pause")
        await listener.until("resume")
        await listener.until("done", result="complete")
    async with Socket.open(server, "/v1/speak", model="mock") as socket:
        undisturbed = PlayingClient(socket)
        await socket.send(type="text", text="One two three four five six seven eight nine ten eleven twelve.", end=True)
        await undisturbed.until("done", result="complete")
    kinds = [event["type"] for event in listener.events]
    assert "stop" not in kinds[kinds.index("pause") :], kinds
    assert [frame.media_time_samples for frame in listener.frames] == [
        960 * number for number in range(len(undisturbed.frames))
    ]
    assert [frame.pcm for frame in listener.frames] == [frame.pcm for frame in undisturbed.frames]


async def test_a_posted_text_comes_back_as_a_wav_file_that_says_it(server: str, recognizer: WhisperRecognizer) -> None:
    text = "The library opens at nine and closes at six in the evening."
    request = {"input": text, "response_format": "wav"}
    async with aiohttp.ClientSession() as http, http.post(f"{server}/v1/audio/speech", json=request) as response:
        assert response.status == 200
        body = await response.read()
    with wave.open(io.BytesIO(body)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 48_000)
    samples = np.frombuffer(body[44:], "<i2").astype(np.float32) / 32768
    said = await recognizer.transcribe(soxr.resample(samples, 48_000, RATE_HZ), language="en")
    assert word_error_rate([text], [said.text]) <= 0.15, said.text
