"""The page, a real browser and the real stack: a WAV file speaks into the microphone, and the answer is played."""

from __future__ import annotations

import asyncio
import wave
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.browser import browser, console_errors, screenshot
from tests.support.page import open_page
from tests.support.speech import SENTENCES, synthesize_pcm, word_error_rate

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

DEADLINE_S = 40
SENTENCE = SENTENCES[5]


def shown(chrome: WebDriver, selector: str) -> str:
    found = chrome.find_elements(By.CSS_SELECTOR, selector)
    return str(found[0].text) if found else ""


def converse(chrome: WebDriver, url: str) -> dict[str, str]:
    """Talk, listen, then type a text; returns what the page shows at the end."""
    wait = WebDriverWait(chrome, DEADLINE_S, poll_frequency=0.1)
    stats = "return window.voiceplane.stats"
    open_page(chrome, url)
    wait.until(lambda c: "en_US-joe-medium — resident" in shown(c, "#model"))
    chrome.find_element(By.ID, "talk").click()
    wait.until(lambda c: shown(c, "#transcript .user"))
    wait.until(lambda c: c.execute_script(stats)["played"] > 48_000)
    wait.until(lambda c: shown(c, "[data-latency=first_audio_ms] .last").endswith("ms"))
    screenshot(chrome, "real-talking")
    heard = shown(chrome, "#transcript .user")
    wait.until(lambda c: shown(c, "#transcript .agent"))
    played = chrome.execute_script(stats)["played"]
    chrome.find_element(By.ID, "text").send_keys("This was typed." + Keys.ENTER)
    wait.until(lambda c: "This was typed." in shown(c, "#transcript li:last-child"))
    wait.until(lambda c: c.execute_script(stats)["played"] > played + 24_000)
    return {
        "heard": heard,
        "recognition": shown(chrome, "[data-latency=asr_ms] .last"),
        "loudest": str(chrome.execute_script(stats)["loudest"]),
    }


async def test_a_user_talks_to_the_page_and_is_answered_aloud(server: str, tmp_path: Path) -> None:
    microphone = tmp_path / "microphone.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(synthesize_pcm(SENTENCE))
    with browser(profile=tmp_path / "profile", microphone=microphone) as chrome:
        page = await asyncio.to_thread(converse, chrome, server)
        errors = console_errors(chrome)
    words = page["heard"].splitlines()[-1]
    assert word_error_rate([SENTENCE], [words]) <= 0.15, page
    assert float(page["loudest"]) > 0.1, "what was played can be heard"
    assert page["recognition"].endswith("ms")
    assert errors == []
