"""The page in a real browser, against a scripted server that speaks docs/websocket.md."""

from __future__ import annotations

import asyncio
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import browser, console_errors
from tests.support.page import choose, page_server, stats, text_of, until
from tests.support.scripted_server import model
from tests.support.speech import synthesize_pcm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.scripted_server import Peer, ScriptedServer

TEXT = "One two three. Four five six."
HEARD = "One two three."
REST = " Four five six."


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[WebDriver]:
    microphone = tmp_path / "microphone.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(synthesize_pcm("Hello there, how are you today?") * 3)
    with browser(profile=tmp_path / "profile", microphone=microphone) as chrome:
        yield chrome


@pytest.fixture
def scripted() -> ScriptedServer:
    return page_server()


@pytest.fixture
async def url(scripted: ScriptedServer, chrome: WebDriver) -> AsyncIterator[str]:
    async with TestServer(scripted.app) as server:
        yield str(server.make_url("/"))
        await asyncio.to_thread(chrome.get, "about:blank")  # so that the server's end sees it go


async def test_a_conversation_is_heard_shown_and_measured(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    loud = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.event("state", state="listening", reason="", retry_after_ms=None)
        while len(peer.audio) < 96_000:
            await peer.next()
        if np.abs(np.frombuffer(bytes(peer.audio), "<i2")).max() > 1000:
            loud.set()
        await peer.event("transcript", role="user", turn=1, text="Hello there.", final=True, interrupted=False)
        await peer.event("latency", turn=1, asr_ms=120.4)
        await peer.event("utterance", utterance=1, epoch=0, model="joe", voice="joe", fallback=False, reason="")
        await peer.frames(epoch=0, utterance=1, count=25)
        await peer.event("latency", utterance=1, first_audio_ms=81.2)
        await peer.until_heard(24_000)
        await peer.event("transcript", role="agent", utterance=1, text=HEARD, final=True, interrupted=False)
        await peer.event("latency", barge_in_ms=42)
        while True:
            await peer.next()

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        until(chrome, lambda c: "joe" in text_of(c, "#model"))
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: HEARD in text_of(c, "#transcript"))
        until(chrome, lambda c: "42 ms" in text_of(c, "#latency"))

    await asyncio.to_thread(drive)
    assert scripted.peers[0].hello["sample_rate_hz"] == 48_000
    assert loud.is_set(), "the microphone was silent"
    assert (1, 24_000) in scripted.peers[0].playouts
    assert "Hello there." in text_of(chrome, "#transcript .user")
    assert all(value in text_of(chrome, "#latency") for value in ("81 ms", "120 ms", "42 ms"))
    assert [option.text for option in chrome.find_elements(By.CSS_SELECTOR, "#model option")] == [
        "Server's choice", "joe — resident", "amy — loading", "broken — failed",
    ]  # fmt: skip
    played = stats(chrome)
    assert played["played"] == 24_000
    assert played["loudest"] > 0.1
    assert console_errors(chrome) == []


async def test_a_text_is_spoken_and_interrupted_by_the_keyboard_alone(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    said: list[Any] = []

    async def script(peer: Peer) -> None:
        said.append(await peer.next())
        await peer.event("reply", utterance=1, text="One two three. ")
        await peer.event("utterance", utterance=1, epoch=0, model="joe", voice="joe", fallback=False, reason="")
        await peer.event("reply", utterance=1, text="Four five six.")
        await peer.frames(epoch=0, utterance=1, count=200)
        await peer.until_heard(9_600)
        await peer.event("pause", epoch=0)
        said.append(await peer.next())
        await peer.event("stop", epoch=1)
        await peer.frames(epoch=0, utterance=1, count=3, start=200)
        await peer.event(
            "transcript", role="agent", utterance=1, text=HEARD, final=True, interrupted=True, unheard=REST
        )
        await peer.event("error", code="NOT_FOUND", reason="UNKNOWN_VOICE", message="no such voice", fatal=False)
        while True:
            await peer.next()

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        until(chrome, lambda c: "joe" in text_of(c, "#model"))
        press(chrome, Keys.TAB, until_focused="text")
        press(chrome, TEXT + Keys.ENTER)
        until(chrome, lambda c: stats(c)["played"] > 9_600)
        press(chrome, Keys.TAB, until_focused="interrupt")
        press(chrome, Keys.ENTER)
        until(chrome, lambda c: c.find_elements(By.CSS_SELECTOR, "#transcript s"))
        until(chrome, lambda c: stats(c)["dropped"] == 3)

    await asyncio.to_thread(drive)
    assert said == [{"type": "say", "text": TEXT}, {"type": "interrupt"}]
    assert text_of(chrome, "#transcript s").strip() == "Four five six."
    assert text_of(chrome, "#error") == "no such voice"
    assert stats(chrome)["played"] < 960 * 200
    assert console_errors(chrome) == []


async def test_mute_silences_the_microphone_and_a_lost_connection_comes_back(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    async def script(peer: Peer) -> None:
        while len(scripted.peers) > 1 or len(peer.audio) < 96_000:
            await peer.next()
        await peer.socket.close()

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: stats(c)["microphoneLoudest"] > 0.05)
        chrome.find_element(By.ID, "mute").click()
        until(chrome, lambda c: stats(c)["microphoneLoudest"] == 0)
        until(chrome, lambda c: len(scripted.peers) > 1 and text_of(c, "#connection") == "Connected")

    await asyncio.to_thread(drive)
    assert scripted.peers[1].hello["client_id"] == "c"
    assert text_of(chrome, "#mute") == "Unmute"


async def test_a_spoken_reply_appears_as_it_is_written_and_what_was_not_heard_is_struck(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    written = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.event("transcript", role="user", turn=1, text="Count to six.", final=True, interrupted=False)
        await peer.event("reply", utterance=1, text="One two three. ")
        await written.wait()
        await peer.event("reply", utterance=1, text="Four five six.")
        await peer.event("utterance", utterance=1, epoch=0, model="joe", voice="joe", fallback=False, reason="")
        await peer.event("stop", epoch=1)
        await peer.event(
            "transcript", role="agent", utterance=1, text=HEARD, final=True, interrupted=True, unheard=REST
        )
        await listen(peer)

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: text_of(c, "#transcript .agent p") == "One two three.")

    await asyncio.to_thread(drive)
    written.set()
    await asyncio.to_thread(until, chrome, lambda c: text_of(c, "#transcript s") == REST.strip())
    assert text_of(chrome, "#transcript .agent p").startswith(HEARD)
    assert text_of(chrome, "#transcript .mark") == "interrupted"


async def test_what_cannot_be_read_is_shown_as_an_error_and_the_conversation_goes_on(
    chrome: WebDriver, scripted: ScriptedServer, url: str
) -> None:
    go_on = asyncio.Event()
    broken: list[str | bytes] = [b"\x02" + bytes(2000), bytes(3), "{", '{"type":"transcript","role":"agent"}']

    async def script(peer: Peer) -> None:
        for message in broken:
            await (peer.socket.send_str(message) if isinstance(message, str) else peer.socket.send_bytes(message))
            await peer.event("state", state="listening", reason=str(broken.index(message)), retry_after_ms=None)
            await go_on.wait()
            go_on.clear()
        await peer.event("transcript", role="user", turn=1, text="Hello there.", final=True, interrupted=False)
        await listen(peer)

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        chrome.find_element(By.ID, "talk").click()

    def heard_of(number: int) -> None:
        until(chrome, lambda c: text_of(c, "#connection") == f"Listening: {number}")

    await asyncio.to_thread(drive)
    for number, reason in enumerate(("frame version 2", "3 bytes has no header", "JSON", "transcript needs text")):
        await asyncio.to_thread(heard_of, number)
        assert reason in text_of(chrome, "#error")
        assert "reload the page" in text_of(chrome, "#error")
        go_on.set()
    await asyncio.to_thread(until, chrome, lambda c: "Hello there." in text_of(c, "#transcript"))
    assert len(scripted.peers) == 1, "the connection was kept"
    assert console_errors(chrome) == []


async def test_who_has_only_typed_can_disconnect(chrome: WebDriver, scripted: ScriptedServer, url: str) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        try:
            await listen(peer)
        finally:
            gone.set()

    scripted.script = script

    def drive() -> None:
        chrome.get(url)
        assert not chrome.find_element(By.ID, "disconnect").is_displayed()
        chrome.find_element(By.ID, "text").send_keys(TEXT + Keys.ENTER)
        until(chrome, lambda c: text_of(c, "#connection") == "Listening")
        assert text_of(chrome, "#talk") == "Talk"
        chrome.find_element(By.ID, "disconnect").click()
        until(chrome, lambda c: text_of(c, "#connection") == "Not connected")

    await asyncio.to_thread(drive)
    async with asyncio.timeout(10):
        await gone.wait()
    assert not chrome.find_element(By.ID, "disconnect").is_displayed()
    assert text_of(chrome, "#transport") == ""


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
        chrome.get(url)
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
        chrome.get(url)
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
        chrome.get(url)
        choose(chrome, "model", "amy")
        until(chrome, lambda c: text_of(c, "#elapsed").startswith("21 of 63 MB"))
        bar = chrome.find_element(By.ID, "loading")
        assert bar.get_property("position") == pytest.approx(1 / 3)
        amy("fetching", fetched_bytes=42_000_000, fetch_bytes=63_000_000)
        until(chrome, lambda c: text_of(c, "#elapsed").startswith("42 of 63 MB"))
        amy("warming")
        until(chrome, lambda c: text_of(c, "#residency") == "warming")
        assert bar.get_property("position") == -1, "nobody knows how far"
        amy("failed", message="the file is cut short: fetch it again")
        until(chrome, lambda c: text_of(c, "#residency") == "failed: the file is cut short: fetch it again")
        assert not bar.is_displayed()
        amy("resident")
        until(chrome, lambda c: text_of(c, "#residency") == "resident")

    await asyncio.to_thread(drive)


async def test_plots_of_the_last_turns_and_of_the_last_minute_are_told_in_words(
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
        chrome.get(url)
        assert told("jitter_ms") == "nothing measured yet"
        chrome.find_element(By.ID, "talk").click()
        until(chrome, lambda c: told("jitter_ms").startswith("Jitter, the last minute:"))

    await asyncio.to_thread(drive)
    assert told("first_audio_ms").startswith("First audio, the last 12: 102 ms, 103 ms")
    assert len(chrome.find_elements(By.CSS_SELECTOR, "[data-latency=first_audio_ms] rect")) == 12
    assert len(chrome.find_elements(By.CSS_SELECTOR, "[data-latency=jitter_ms] polyline")) == 1


async def listen(peer: Peer) -> None:
    await peer.event("state", state="listening", reason="", retry_after_ms=None)
    while True:
        await peer.next()


def press(chrome: WebDriver, keys: str, *, until_focused: str = "") -> None:
    """Press keys where the focus is; with `until_focused` again and again, until that element has it."""
    for _ in range(20):
        chrome.switch_to.active_element.send_keys(keys)
        if until_focused in ("", chrome.switch_to.active_element.get_attribute("id")):
            return
    raise AssertionError(f"the keyboard does not reach #{until_focused}")
