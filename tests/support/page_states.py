"""Each state of the page, brought about in a browser by a scripted server: for pictures, and for judging them all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestServer
from livekit import api
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from voiceplane_common.tasks import first_to_end

from tests.support.livekit import KEY, SECRET, livekit_server
from tests.support.page import choose, open_page, page_server, text_of, until
from tests.support.processes import free_port
from tests.support.scripted_server import frame, model
from tests.support.speech import synthesize_pcm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.support.scripted_server import Peer, ScriptedServer

FRAME_S = 0.02
BURST_FRAMES = 10
ASKED = "Could you tell me how to get to the nearest hospital?"
ANSWER = "Go down this street to the river, cross the bridge, and turn left at the church. The hospital is on the hill."
HEARD = "Go down this street to the river, cross the bridge,"
TURNS = ((312.0, 48.0, 410.0), (268.0, 41.0, 350.0), (455.0, 44.0, 520.0), (240.0, 39.0, 331.0), (287.0, 52.0, 362.0))


@dataclass(frozen=True, slots=True)
class Stage:
    """A browser and the server that its page is of. Methods block, so they run in a thread."""

    chrome: WebDriver
    server: ScriptedServer
    url: str
    livekit_url: str

    def open(self, script: Callable[[Peer], Awaitable[None]] | None = None) -> None:
        """Open the page; the script is what the server does once it is talked to."""
        self.server.script = script
        open_page(self.chrome, self.url)
        self.until("joe", "#model")

    def talk(self) -> None:
        """Press Talk."""
        self.chrome.find_element(By.ID, "talk").click()

    def until(self, text: str, selector: str) -> None:
        """Wait until a text is shown."""
        until(self.chrome, lambda c: text in text_of(c, selector))


# ---------------------------------------------------------------- what the server does


async def listen(peer: Peer) -> None:
    await peer.event("state", state="listening", reason="", retry_after_ms=None)
    while True:
        await peer.next()


async def begin(peer: Peer) -> None:
    """Some turns that are over, and a question with the beginning of its answer."""
    for turn, (first_audio_ms, barge_in_ms, asr_ms) in enumerate(TURNS):
        await peer.event("latency", turn=turn, asr_ms=asr_ms)
        await peer.event("latency", utterance=turn, first_audio_ms=first_audio_ms, barge_in_ms=barge_in_ms)
    await peer.event("transcript", role="user", turn=9, text=ASKED, final=True, interrupted=False)
    await peer.event("reply", utterance=1, text=ANSWER)
    await peer.event("utterance", utterance=1, epoch=0, model="joe", voice="joe", fallback=False, reason="")
    await peer.event("state", state="speaking", reason="", retry_after_ms=None)


async def answer(peer: Peer) -> None:
    async def speak() -> None:
        for index in itertools.count():
            await peer.socket.send_bytes(frame(epoch=0, utterance=1, index=index))
            if index >= BURST_FRAMES:
                await asyncio.sleep(FRAME_S + 0.004 * (index % 3 - 1))

    await begin(peer)
    await first_to_end(speak(), drain(peer))


async def be_interrupted(peer: Peer) -> None:
    await begin(peer)
    await peer.event("stop", epoch=1)
    await peer.event(
        "transcript", role="agent", utterance=1, text=HEARD, final=True, interrupted=True,
        unheard=ANSWER.removeprefix(HEARD),
    )  # fmt: skip
    await peer.event("partial", turn=10, text="No, the other one")
    await listen(peer)


async def think(peer: Peer) -> None:
    await peer.event("transcript", role="user", turn=9, text=ASKED, final=True, interrupted=False)
    await peer.event("state", state="thinking", reason="", retry_after_ms=None)
    await drain(peer)


async def lose_worker(peer: Peer) -> None:
    await peer.event("state", state="no_worker", reason="every worker is full", retry_after_ms=1000)
    await drain(peer)


async def fail(peer: Peer) -> None:
    await peer.event("error", code="NOT_FOUND", reason="UNKNOWN_VOICE", message="there is no voice anna", fatal=False)
    await peer.event("state", state="listening", reason="", retry_after_ms=None)
    await drain(peer)


async def hang_up(peer: Peer) -> None:
    await peer.socket.close()


async def drain(peer: Peer) -> None:
    while True:
        await peer.next()


# ---------------------------------------------------------------- what the person does


def not_connected(stage: Stage) -> None:
    stage.open()


def connecting(stage: Stage) -> None:
    stage.server.greets = False
    stage.open(drain)
    stage.talk()
    stage.until("Connecting", "#connection")


def listening(stage: Stage) -> None:
    stage.open(listen)
    stage.talk()
    stage.until("Listening", "#connection")


def thinking(stage: Stage) -> None:
    stage.open(think)
    stage.talk()
    stage.until("Thinking", "#connection")


def speaking(stage: Stage) -> None:
    stage.open(answer)
    stage.talk()
    stage.until("Speaking", "#connection")
    until(stage.chrome, lambda c: c.find_elements(By.CSS_SELECTOR, "[data-latency=jitter_ms] polyline[points*=' ']"))


def interrupted(stage: Stage) -> None:
    stage.open(be_interrupted)
    stage.talk()
    stage.until("No, the other one", "#transcript")


def model_loading(stage: Stage) -> None:
    stage.server.models[1] = model("amy", state="fetching", fetched_bytes=41_000_000, fetch_bytes=63_000_000)
    stage.open()
    choose(stage.chrome, "model", "amy")
    stage.until("41 of 63 MB", "#elapsed")


def model_failed(stage: Stage) -> None:
    stage.open()
    choose(stage.chrome, "model", "broken")
    stage.until("the file is cut short", "#residency")


def fallback(stage: Stage) -> None:
    stage.server.grant = {"url": f"ws://127.0.0.1:{free_port()}", "token": "t", "room": "r", "identity": "anna"}
    stage.open(listen)
    stage.talk()
    stage.until("because the LiveKit server cannot be reached", "#transport")
    stage.until("Listening", "#connection")


def waiting_for_an_agent(stage: Stage) -> None:
    grants = api.VideoGrants(room_join=True, room="r")
    token = api.AccessToken(KEY, SECRET).with_identity("anna").with_grants(grants).to_jwt()
    stage.server.grant = {"url": stage.livekit_url, "token": token, "room": "r", "identity": "anna"}
    stage.open()
    stage.talk()
    stage.until("Waiting for an agent", "#connection")


def reconnecting(stage: Stage) -> None:
    stage.open(hang_up)
    stage.talk()
    stage.until("Reconnecting", "#connection")


def without_worker(stage: Stage) -> None:
    stage.open(lose_worker)
    stage.talk()
    stage.until("every worker is full", "#connection")


def error(stage: Stage) -> None:
    stage.open(fail)
    stage.chrome.find_element(By.ID, "text").send_keys("Good morning." + Keys.ENTER)
    stage.until("there is no voice anna", "#error")


def device_gone(stage: Stage) -> None:
    listening(stage)
    unplug_chosen_microphone(stage.chrome)
    stage.until("is not connected", "#devices-note")


STATES: dict[str, Callable[[Stage], None]] = {
    "not-connected": not_connected,
    "connecting": connecting,
    "listening": listening,
    "thinking": thinking,
    "speaking": speaking,
    "interrupted": interrupted,
    "model-loading": model_loading,
    "model-failed": model_failed,
    "fallback": fallback,
    "waiting-for-an-agent": waiting_for_an_agent,
    "reconnecting": reconnecting,
    "no-worker": without_worker,
    "error": error,
    "device-gone": device_gone,
}


def unplug_chosen_microphone(chrome: WebDriver) -> None:
    """Choose a microphone, then take it away as the browser would tell it."""
    options = "#microphone option:not([value=''])"
    until(chrome, lambda c: c.find_elements(By.CSS_SELECTOR, options))
    chosen = chrome.find_elements(By.CSS_SELECTOR, options)[-1]
    name = chosen.get_attribute("value")
    chosen.click()
    chrome.execute_script(
        """
        const media = navigator.mediaDevices, all = media.enumerateDevices.bind(media);
        media.enumerateDevices = async () => (await all()).filter(({deviceId}) => deviceId !== arguments[0]);
        media.dispatchEvent(new Event("devicechange"));
        """,
        name,
    )


@contextlib.asynccontextmanager
async def stages(chrome: WebDriver) -> AsyncIterator[Callable[[str], contextlib.AbstractAsyncContextManager[None]]]:
    """Gives a function that brings the browser's page into a state, and keeps it there for as long as it is entered."""
    async with livekit_server() as livekit:

        @contextlib.asynccontextmanager
        async def enter(name: str) -> AsyncIterator[None]:
            scripted = page_server()
            async with TestServer(scripted.app) as server:
                stage = Stage(chrome, scripted, str(server.make_url("/")), livekit.url)
                await asyncio.to_thread(STATES[name], stage)
                yield
                await asyncio.to_thread(chrome.get, "about:blank")  # so that the server's end sees it go

        yield enter


def talkative_microphone(path: Path) -> Path:
    """A recording that is loud for long."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(synthesize_pcm("Hello there, how are you today?") * 20)
    return path
