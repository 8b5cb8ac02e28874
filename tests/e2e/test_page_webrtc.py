"""The page over WebRTC: a real browser, LiveKit server, ear and voice; and the WebSocket where that fails."""

from __future__ import annotations

import asyncio
import json
import wave
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import processes
from tests.support.browser import browser, screenshot
from tests.support.livekit import livekit_server
from tests.support.speech import SENTENCES, synthesize_pcm, word_error_rate

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

DEADLINE_S = 40
SENTENCE = SENTENCES[5]
ANSWER = "This is a longer answer, and it goes on for quite a while, so that somebody has the time to interrupt it."
LOUD = 0.02


def shown(chrome: WebDriver, selector: str) -> str:
    found = chrome.find_elements(By.CSS_SELECTOR, selector)
    return str(found[0].text) if found else ""


def stats(chrome: WebDriver) -> dict[str, float]:
    found: dict[str, float] = chrome.execute_script("return window.voiceplane.stats")
    return found


def recording(path: Path) -> Path:
    """Silence until an agent is there, then a sentence."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(2 * 48_000 * 4) + synthesize_pcm(SENTENCE) + bytes(2 * 48_000))
    return path


def waiting(chrome: WebDriver) -> WebDriverWait[WebDriver]:
    return WebDriverWait(chrome, DEADLINE_S, poll_frequency=0.05)


def converse(chrome: WebDriver, url: str) -> str:
    """Talk by microphone, hear the answer, then have a text spoken and interrupt it; what was understood."""
    wait = waiting(chrome)
    chrome.get(url)
    chrome.find_element(By.ID, "talk").click()
    wait.until(lambda c: shown(c, "#transport") == "WebRTC")
    wait.until(lambda c: shown(c, "#transcript .user"))
    wait.until(lambda c: stats(c)["voiceNow"] > LOUD)
    heard = shown(chrome, "#transcript .user p")
    screenshot(chrome, "webrtc-talking")
    wait.until(lambda c: "jitter" in shown(c, "#network"))
    wait.until(lambda c: shown(c, '#transcript .agent[data-state=""]'))  # the answer has been heard to its end
    chrome.find_element(By.ID, "text").send_keys(ANSWER + Keys.ENTER)
    wait.until(lambda c: ANSWER in shown(c, "#transcript .agent:last-child") and stats(c)["voiceNow"] > LOUD)
    chrome.find_element(By.ID, "interrupt").click()
    wait.until(lambda c: stats(c)["voiceNow"] < LOUD / 10)
    wait.until(lambda c: shown(c, "#transcript .agent:last-child s"))
    screenshot(chrome, "webrtc-interrupted")
    return heard


def fall_back(chrome: WebDriver, url: str) -> str:
    """Have a text spoken without a LiveKit server; what the page says of it."""
    wait = waiting(chrome)
    chrome.get(url)
    chrome.find_element(By.ID, "text").send_keys("One two three." + Keys.ENTER)
    wait.until(lambda c: stats(c)["played"] > 24_000)
    screenshot(chrome, "webrtc-fallback")
    return shown(chrome, "#transport")


async def test_a_person_talks_over_webrtc_and_over_the_websocket_when_livekit_has_gone(tmp_path: Path) -> None:
    microphone = recording(tmp_path / "microphone.wav")
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
