"""The page in a real browser, against a scripted server that speaks docs/reference/websocket.md."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import console_errors
from tests.support.page import open_page, stats, text_of, until
from tests.support.page_states import listen

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.scripted_server import Peer, ScriptedServer

TEXT = "One two three. Four five six."
HEARD = "One two three."
REST = " Four five six."


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
        open_page(chrome, url)
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
        open_page(chrome, url)
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
        open_page(chrome, url)
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
        open_page(chrome, url)
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
        open_page(chrome, url)
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
        open_page(chrome, url)
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


def press(chrome: WebDriver, keys: str, *, until_focused: str = "") -> None:
    """Press keys where the focus is; with `until_focused` again and again, until that element has it."""
    for _ in range(20):
        chrome.switch_to.active_element.send_keys(keys)
        if until_focused in ("", chrome.switch_to.active_element.get_attribute("id")):
            return
    raise AssertionError(f"the keyboard does not reach #{until_focused}")
