"""The settings and measurements of the page in a real browser: devices, models, plots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By

from tests.support.browser import console_errors
from tests.support.page import choose, open_page, stats, text_of, until
from tests.support.page_states import listen
from tests.support.scripted_server import model

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.scripted_server import Peer, ScriptedServer


async def test_devices_are_chosen_remembered_and_replaced_while_they_are_gone(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    scripted.script = listen
    opened = "return window.opened"
    watch = """
    window.opened = [];
    window.unplugged = "";
    const media = navigator.mediaDevices;
    const open = media.getUserMedia.bind(media), all = media.enumerateDevices.bind(media);
    media.getUserMedia = (wanted) => {
      window.opened.push(wanted.audio.deviceId?.exact ?? "");
      window.cancelled = wanted.audio.echoCancellation;
      return open(wanted);
    };
    media.enumerateDevices = async () => (await all()).filter(({deviceId}) => deviceId !== window.unplugged);
    """

    def plug(unplugged: str) -> None:
        chrome.execute_script(
            "window.unplugged = arguments[0]; navigator.mediaDevices.dispatchEvent(new Event('devicechange'))",
            unplugged,
        )

    def talk() -> None:
        open_page(chrome, url)
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: stats(c)["microphoneLoudest"] > 0.05)

    def drive() -> tuple[str, str]:
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": watch})
        talk()
        microphone, speaker = (
            chrome.find_elements(By.CSS_SELECTOR, f"#{name} option")[-1].get_attribute("value") or ""
            for name in ("microphone", "speaker")
        )
        assert chrome.execute_script(opened) == [""]
        choose(chrome, "microphone", microphone)
        until(chrome, lambda c: c.execute_script(opened) == ["", microphone])
        choose(chrome, "speaker", speaker)
        assert chrome.execute_script("return window.cancelled") is True
        chrome.find_element(By.ID, "headphones").click()
        until(chrome, lambda c: c.execute_script(opened) == ["", microphone, microphone])
        talk()
        until(chrome, lambda c: c.execute_script(opened) == [microphone])
        assert chrome.execute_script("return window.cancelled") is False
        until(chrome, lambda c: c.find_element(By.ID, "speaker").get_attribute("value") == speaker)
        plug(microphone)
        until(chrome, lambda c: "is not connected" in text_of(c, "#devices-note"))
        until(chrome, lambda c: c.execute_script(opened) == [microphone, ""])
        plug("")
        until(chrome, lambda c: c.execute_script(opened) == [microphone, "", microphone])
        until(chrome, lambda c: text_of(c, "#devices-note") == "")
        return microphone, speaker

    microphone, speaker = await asyncio.to_thread(drive)
    assert microphone
    assert speaker
    assert text_of(chrome, "#error") == ""
    heard = len(scripted.peers[-1].audio)
    await asyncio.to_thread(until, chrome, lambda _: len(scripted.peers[-1].audio) > heard + 48_000)
    assert console_errors(chrome) == []


async def test_a_microphone_that_ends_is_replaced_by_another_one(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    scripted.script = listen
    keep = """
    const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
    window.streams = [];
    media.getUserMedia = async (wanted) => {
      window.streams.push(await open(wanted));
      return window.streams.at(-1);
    };
    """
    end = "const [track] = window.streams[0].getTracks(); track.stop(); track.dispatchEvent(new Event('ended'))"

    def drive() -> None:
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": keep})
        open_page(chrome, url)
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: stats(c)["microphoneLoudest"] > 0.05)
        chrome.execute_script(end)
        until(chrome, lambda c: c.execute_script("return window.streams.length") == 2)
        until(chrome, lambda c: stats(c)["microphoneLoudest"] > 0.05)

    await asyncio.to_thread(drive)
    assert text_of(chrome, "#talk") == "Stop"
    assert text_of(chrome, "#error") == ""


async def test_a_model_shows_how_far_it_is_and_why_it_failed(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    def amy(state: str, **more: Any) -> None:
        scripted.models[1] = model("amy", state=state, **more)

    def drive() -> None:
        amy("fetching", fetched_bytes=21_000_000, fetch_bytes=63_000_000)
        open_page(chrome, url)
        choose(chrome, "model", "amy")
        until(chrome, lambda c: text_of(c, "#elapsed").startswith("21 of 63 MB"))
        bar = chrome.find_element(By.ID, "loading")
        assert bar.get_property("position") == pytest.approx(1 / 3)
        amy("fetching", fetched_bytes=42_000_000, fetch_bytes=63_000_000)
        until(chrome, lambda c: text_of(c, "#elapsed").startswith("42 of 63 MB"))
        amy("warming")
        until(chrome, lambda c: text_of(c, "#residency") == "warming")
        assert bar.get_property("position") == -1, "no one knows how far"
        amy("failed", message="the file is cut short: fetch it again")
        until(chrome, lambda c: text_of(c, "#residency") == "failed: the file is cut short: fetch it again")
        assert not bar.is_displayed()
        amy("resident")
        until(chrome, lambda c: text_of(c, "#residency") == "resident")

    await asyncio.to_thread(drive)


async def test_plots_of_the_last_turns_and_of_the_last_minute_are_described_in_words(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    async def script(peer: Peer) -> None:
        for turn in range(14):
            await peer.event("latency", turn=turn, first_audio_ms=100.0 + turn, barge_in_ms=40.0)
        await peer.event("utterance", utterance=1, epoch=0, model="joe", voice="joe", fallback=False, reason="")
        await peer.frames(epoch=0, utterance=1, count=25)
        await listen(peer)

    scripted.script = script

    def told(name: str) -> str:
        plot = chrome.find_element(By.CSS_SELECTOR, f"[data-latency={name}] svg")
        return str(plot.get_attribute("aria-label"))

    def drive() -> None:
        open_page(chrome, url)
        assert told("jitter_ms") == "nothing measured yet"
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: told("jitter_ms").startswith("Jitter, the last minute:"))

    await asyncio.to_thread(drive)
    assert told("first_audio_ms").startswith("First audio, the last 12: 102 ms, 103 ms")
    assert len(chrome.find_elements(By.CSS_SELECTOR, "[data-latency=first_audio_ms] rect")) == 12
    assert len(chrome.find_elements(By.CSS_SELECTOR, "[data-latency=jitter_ms] polyline")) == 1
