"""The page over WebRTC: a real browser, LiveKit server, recognizer and voice; and the WebSocket where that fails."""

from __future__ import annotations

import asyncio
import json
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soxr
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import processes, track_recorder
from tests.support.browser import RESULTS, browser, screenshot
from tests.support.chat import chat_server
from tests.support.livekit import livekit_server
from tests.support.page import choose, open_page, stats, text_of, until
from tests.support.speech import SENTENCES, synthesize_pcm, word_error_rate

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver
    from voiceplane_speech_input.asr.whisper import WhisperRecognizer

    from tests.support.track_recorder import Recording

# The first one may build LiveKit.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

RATE_HZ = track_recorder.RATE_HZ
SENTENCE = SENTENCES[7]
ANSWER = "This is a longer answer, and it goes on for quite a while, so that someone has the time to interrupt it."
LOUD = 0.02
SILENT_S = 1.0
DEADLINE_S = 60
BEFORE_S, AFTER_S = 6.0, 90.0  # silence: until an agent is there, and for an answer
SHORT_ANSWER = " ".join(SENTENCES[1:3])
LONG_ANSWER = " ".join(f"On the day after that {sentence[0].lower()}{sentence[1:]}" for sentence in SENTENCES)

WHOLE_ANSWER = """
const struck = document.querySelector("#transcript .agent s");
return struck.parentElement.firstChild.textContent + struck.textContent;
"""


def recording(path: Path, *parts: str | float) -> Path:
    """Sentences, and seconds of silence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for part in parts:
            file.writeframes(synthesize_pcm(part) if isinstance(part, str) else bytes(2 * round(RATE_HZ * part)))
    return path


def converse(chrome: WebDriver, url: str) -> str:
    """Talk by microphone, hear the answer, then have a text spoken and interrupt it; what was understood."""
    open_page(chrome, url)
    chrome.find_element(By.ID, "talk").click()
    until(chrome, lambda c: text_of(c, "#transport") == "WebRTC")
    until(chrome, lambda c: text_of(c, "#transcript .user"))
    until(chrome, lambda c: stats(c)["voiceNow"] > LOUD)
    heard = text_of(chrome, "#transcript .user p")
    screenshot(chrome, "webrtc-talking")
    until(chrome, lambda c: text_of(c, "[data-latency=jitter_ms] .last").endswith("ms"))
    until(chrome, lambda c: text_of(c, "[data-latency=loss_percent] .last").endswith("%"))
    until(chrome, lambda c: text_of(c, '#transcript .agent[data-state=""]'))  # the answer has been heard to its end
    chrome.find_element(By.ID, "text").send_keys(ANSWER + Keys.ENTER)
    until(chrome, lambda c: ANSWER in text_of(c, "#transcript .agent:last-child") and stats(c)["voiceNow"] > LOUD)
    chrome.find_element(By.ID, "interrupt").click()
    until(chrome, lambda c: stats(c)["voiceNow"] < LOUD / 10)
    until(chrome, lambda c: text_of(c, "#transcript .agent:last-child s"))
    screenshot(chrome, "webrtc-interrupted")
    return heard


def fall_back(chrome: WebDriver, url: str) -> str:
    """Have a text spoken without a LiveKit server; what the page says of it."""
    open_page(chrome, url)
    chrome.find_element(By.ID, "text").send_keys("One two three." + Keys.ENTER)
    until(chrome, lambda c: stats(c)["played"] > 24_000)
    screenshot(chrome, "webrtc-fallback")
    return text_of(chrome, "#transport")


async def test_a_user_talks_over_webrtc_and_over_the_websocket_when_livekit_has_gone(tmp_path: Path) -> None:
    microphone = recording(tmp_path / "microphone.wav", BEFORE_S, SENTENCE, 1.0)
    config = tmp_path / "orchestrator.yaml"
    async with livekit_server() as server, processes.worker() as (worker, _):
        sections: dict[str, Any] = {"livekit": server.settings, "discovery": {"workers": [worker]}}
        config.write_text(json.dumps(sections | {"server": {"drain_timeout_ms": 0}}))
        async with processes.orchestrator("--config", str(config)) as (url, _):
            with browser(profile=tmp_path / "one", microphone=microphone) as chrome:
                heard = await asyncio.to_thread(converse, chrome, url)
            assert word_error_rate([SENTENCE], [heard]) <= 0.2, heard
            await server.kill()
            with browser(profile=tmp_path / "two", microphone=microphone) as chrome:
                told = await asyncio.to_thread(fall_back, chrome, url)
            assert told.startswith("WebSocket, because the LiveKit server cannot be reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """What a conversation with an interruption left behind.

    Attributes:
        first_answer: What the page showed of the answer that was heard to its end.
        first_ended: Where in the recording that was over, in samples.
        second_answer: The interrupted answer on the page, the struck words included.
        struck: The struck words of it.
    """

    first_answer: str
    first_ended: int
    second_answer: str
    struck: str
    recording: Recording


def be_interrupted(chrome: WebDriver, url: str) -> Interrupted:
    """Ask, hear the answer to its end, ask again, and interrupt that answer.

    Each microphone plays the recording from its beginning when it is opened, so choosing one decides when it speaks.
    """
    track_recorder.install(chrome)
    open_page(chrome, url)
    chrome.find_element(By.ID, "talk").click()
    until(chrome, lambda c: text_of(c, "#transport") == "WebRTC", deadline_s=DEADLINE_S)
    speaker = chrome.find_elements(By.CSS_SELECTOR, "#speaker option")[-1].get_attribute("value") or ""
    choose(chrome, "speaker", speaker)
    chrome.find_element(By.ID, "headphones").click()  # a recording does not hear the loudspeaker
    microphones = [
        each.get_attribute("value") or "" for each in chrome.find_elements(By.CSS_SELECTOR, "#microphone option")
    ]
    until(chrome, lambda c: text_of(c, '#transcript .agent[data-state=""] p'), deadline_s=DEADLINE_S)
    first_answer, first_ended = text_of(chrome, "#transcript .agent p"), track_recorder.recorded_samples(chrome)
    choose(chrome, "microphone", microphones[-1])
    until(chrome, lambda c: LONG_ANSWER in text_of(c, "#transcript .agent:last-child"), deadline_s=DEADLINE_S)
    until(chrome, lambda c: stats(c)["voiceNow"] > LOUD, deadline_s=DEADLINE_S)
    choose(chrome, "microphone", microphones[-2])
    until(chrome, lambda c: text_of(c, "#transcript .agent s"), deadline_s=DEADLINE_S)
    track_recorder.until_silent(chrome, seconds=SILENT_S)
    assert speaker in chrome.execute_script("return window.recorded.sinks")
    return Interrupted(
        first_answer=first_answer,
        first_ended=first_ended,
        second_answer=chrome.execute_script(WHOLE_ANSWER),
        struck=text_of(chrome, "#transcript .agent s"),
        recording=track_recorder.take(chrome),
    )


def keep_answer(recording: Recording) -> None:
    """Keep what was received and what was said, for people."""
    RESULTS.mkdir(exist_ok=True)
    both = np.stack([recording.voice, recording.microphone], axis=1).clip(-1, 1)
    with wave.open(str(RESULTS / "page-webrtc-conversation.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((both * 32767).astype("<i2").tobytes())


async def test_an_answer_is_heard_as_it_was_written_and_the_next_one_is_silent_once_the_person_speaks(
    tmp_path: Path, recognizer: WhisperRecognizer
) -> None:
    microphone = recording(tmp_path / "microphone.wav", BEFORE_S, SENTENCE, AFTER_S)
    config = tmp_path / "orchestrator.yaml"
    async with (
        livekit_server() as server,
        chat_server(SHORT_ANSWER, LONG_ANSWER, SHORT_ANSWER) as chat,
        processes.worker() as (worker, _),
    ):
        sections: dict[str, Any] = {"livekit": server.settings, "discovery": {"workers": [worker]}}
        sections |= {"replies": {"engine": "llm", "base_url": chat, "model": "m"}, "server": {"drain_timeout_ms": 0}}
        config.write_text(json.dumps(sections))
        async with processes.orchestrator("--config", str(config)) as (url, _):
            with browser(profile=tmp_path / "profile", microphone=microphone) as chrome:
                left = await asyncio.to_thread(be_interrupted, chrome, url)

    assert left.first_answer == SHORT_ANSWER
    keep_answer(left.recording)
    first = soxr.resample(left.recording.voice[: left.first_ended], RATE_HZ, 16_000)
    understood = (await recognizer.transcribe(first, language="en")).text
    error_rate = word_error_rate([SHORT_ANSWER], [understood])
    assert error_rate <= 0.2, understood

    assert left.second_answer == LONG_ANSWER
    assert left.struck
    assert LONG_ANSWER.endswith(left.struck)
    onset = left.recording.onset_after_pause(BEFORE_S / 2)
    before = left.recording.voice[onset - RATE_HZ : onset]
    assert np.abs(before).max() > LOUD, "the agent was speaking when the person began"
    silent = left.recording.silent_from(onset, seconds=SILENT_S)
    assert np.abs(left.recording.microphone[silent:]).max() > LOUD, "it was silent before the person had finished"
    silent_ms = (silent - onset) * 1000 // RATE_HZ
    print(f"WER {error_rate:.3f} ({understood}); silent {silent_ms} ms after the person's first sound")
