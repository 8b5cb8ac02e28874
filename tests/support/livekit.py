"""A real LiveKit server on loopback, and a participant with a microphone in one of its rooms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import numpy as np
import yaml
from livekit import rtc

from tests.e2e.cluster.binaries import binary
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy.typing as npt

KEY = "tests"
SECRET = "a-secret-of-tests-that-is-long-enough"  # noqa: S105  # of a server on loopback
START_TIMEOUT_S = 20.0
POLL_S = 0.02
RATE_HZ = 48_000
TICK_SAMPLES = RATE_HZ // 100
LOUD = 1000
LIFELESS_S = 1.2


class LiveKitServer:
    """A server. Use as an asynchronous context manager; it can be killed, and started again on the same ports.

    Attributes:
        url: ws://…
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        interface: str = "lo",
        settings: dict[str, Any] | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: For its files.
            address: That it is reached by.
            interface: The network interface that has this address.
            settings: LiveKit's own, but for keys and logs, in place of the two above.
        """
        settings = settings or _settings(address, interface)
        self.url = f"ws://{settings['bind_addresses'][0]}:{settings['port']}"
        self._file = folder / "livekit.yaml"
        self._log = folder / "livekit.log"
        self._file.write_text(yaml.safe_dump(settings | {"keys": {KEY: SECRET}, "logging": {"level": "info"}}))
        self._child: asyncio.subprocess.Process | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """For an orchestrator."""
        return {"url": self.url, "api_key": KEY, "api_secret": SECRET}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it; returns when it answers.

        Raises:
            RuntimeError: It does not; ends with its log.
        """
        program = await asyncio.to_thread(binary, "livekit-server")
        with self._log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(program, "--config", self._file, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        async with aiohttp.ClientSession() as http:
            while not await self._answers(http):
                if self._child.returncode is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"LiveKit has not started: {self._log.read_text()[-2000:]}")
                await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """SIGKILL."""
        if self._child:
            self._child.kill()
            await self._child.wait()
            self._child = None

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(self.url.replace("ws:", "http:")) as response:
                return response.status == 200
        return False


def _settings(address: str, interface: str) -> dict[str, Any]:
    return {
        "port": free_port(),
        "bind_addresses": [address],
        "rtc": {
            "tcp_port": free_port(),
            "udp_port": free_port(),
            "node_ip": address,
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": [interface]},
        },
    }


@contextlib.asynccontextmanager
async def livekit_server(*, address: str = "127.0.0.1", interface: str = "lo") -> AsyncIterator[LiveKitServer]:
    """A server with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with LiveKitServer(Path(folder), address=address, interface=interface) as server:
            yield server


class Person:
    """A participant in a room: speaks into a microphone, hears the newest agent, and notes when what was heard.

    Attributes:
        events: What the agent has told, with the event loop's time, without signs of life.
        heard: The agent's audio as it came: time, samples.
        agents: The identities of the agents that were there, in order.
    """

    def __init__(self) -> None:
        self.room = rtc.Room()
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.heard: list[tuple[float, npt.NDArray[np.int16]]] = []
        self.agents: list[str] = []
        self.alive_at_s = 0.0
        self._news = asyncio.Event()
        self._source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=20)
        self._tasks: set[asyncio.Task[None]] = set()
        self._words: asyncio.Queue[npt.NDArray[np.int16]] = asyncio.Queue()
        self._spoken = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def enter(cls, grant: dict[str, Any]) -> AsyncIterator[Person]:
        """A participant in the room, with a microphone that is on."""
        person = cls()
        person.room.on("data_received", person._data_received)
        person.room.on("track_subscribed", person._subscribed)
        await person.room.connect(grant["url"], grant["token"])
        track = rtc.LocalAudioTrack.create_audio_track("microphone", person._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        await person.room.local_participant.publish_track(track, options)
        person._run(person._keep_microphone_on())
        try:
            yield person
        finally:
            for task in person._tasks:
                task.cancel()
            await asyncio.gather(*person._tasks, return_exceptions=True)
            await person.room.disconnect()
            await person._source.aclose()

    async def say(self, samples: npt.NDArray[np.int16]) -> float:
        """Say something; returns when its last sample left the microphone, with the time at which its first did."""
        self._spoken.clear()
        for start in range(0, samples.size, TICK_SAMPLES):
            self._words.put_nowait(samples[start : start + TICK_SAMPLES])
        began = asyncio.get_running_loop().time()
        await self._spoken.wait()
        return began

    async def send(self, kind: str, **fields: object) -> None:
        """A command to the agent."""
        await self.room.local_participant.publish_data(json.dumps({"type": kind, **fields}), topic="voiceplane")

    async def until(
        self, kind: str, *, after_s: float = 0.0, timeout_s: float = 20.0, **fields: object
    ) -> dict[str, Any]:
        """The first event of a type with these values, since a time."""

        def find() -> dict[str, Any] | None:
            for at_s, event in self.events:
                if at_s >= after_s and event["type"] == kind and fields.items() <= event.items():
                    return event
            return None

        async with asyncio.timeout(timeout_s):
            while (found := find()) is None:
                await self._changed()
        return found

    async def until_lifeless(self, *, timeout_s: float = 20.0) -> None:
        """Until the agent has given no sign of life for LIFELESS_S, as the page waits for it."""
        async with asyncio.timeout(timeout_s):
            while True:
                seen_at_s = self.alive_at_s
                await asyncio.sleep(max(0.0, seen_at_s + LIFELESS_S - asyncio.get_running_loop().time()))
                if self.alive_at_s == seen_at_s:
                    return

    async def until_agents(self, count: int, *, timeout_s: float = 20.0) -> None:
        """Until the tracks of so many agents have come, one after another."""
        async with asyncio.timeout(timeout_s):
            while len(self.agents) < count:
                await self._changed()

    async def until_loud(self, *, after_s: float = 0.0, timeout_s: float = 20.0, for_ticks: int = 1) -> float:
        """When the agent was first heard since a time; returns when it has been heard for so many ticks of 10 ms."""
        async with asyncio.timeout(timeout_s):
            while True:
                loud = [at_s for at_s, samples in self.heard if at_s >= after_s and _is_loud(samples)]
                if len(loud) >= for_ticks:
                    return loud[0]
                await self._changed()

    async def until_silent(self, *, after_s: float = 0.0, timeout_s: float = 20.0, for_ticks: int = 5) -> float:
        """When the agent stopped speaking, and stayed so for some ticks of 10 ms, since a time."""
        async with asyncio.timeout(timeout_s):
            while True:
                ticks = [(at_s, _is_loud(samples)) for at_s, samples in self.heard if at_s >= after_s]
                for first in range(len(ticks) - for_ticks):
                    if not any(loud for _, loud in ticks[first : first + for_ticks]):
                        return ticks[first][0]
                await self._changed()

    def audio(self, *, after_s: float = 0.0) -> npt.NDArray[np.int16]:
        """All that was heard since a time."""
        parts = [samples for at_s, samples in self.heard if at_s >= after_s]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    async def _changed(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _keep_microphone_on(self) -> None:
        silence = np.zeros(TICK_SAMPLES, np.int16)
        while True:
            try:
                tick = self._words.get_nowait()
                if tick.size < TICK_SAMPLES:
                    tick = np.pad(tick, (0, TICK_SAMPLES - tick.size))
            except asyncio.QueueEmpty:
                self._spoken.set()
                tick = silence
            await self._source.capture_frame(rtc.AudioFrame(tick.tobytes(), RATE_HZ, 1, TICK_SAMPLES))

    def _data_received(self, packet: rtc.DataPacket) -> None:
        if packet.topic != "voiceplane":
            return
        event = json.loads(packet.data)
        now = asyncio.get_running_loop().time()
        if event["type"] == "alive":
            self.alive_at_s = now
        else:
            self.events.append((now, event))
        self._news.set()

    def _subscribed(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.agents.append(participant.identity)
            self._news.set()
            self._run(self._hear(track, participant.identity))

    async def _hear(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                if self.agents[-1] == identity:
                    samples = np.frombuffer(event.frame.data, np.int16).copy()
                    self.heard.append((asyncio.get_running_loop().time(), samples))
                    self._news.set()
        finally:
            await stream.aclose()

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_loud(samples: npt.NDArray[np.int16]) -> bool:
    return bool(np.abs(samples.astype(np.int32)).max() > LOUD)


def tone(seconds: float, *, hz: float = 300.0, amplitude: float = 0.5) -> npt.NDArray[np.int16]:
    """A tone, s16 at 48 kHz."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples: npt.NDArray[np.int16] = (amplitude * 32767 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    return samples


async def grant(url: str, *, api_key: str = "", **wanted: object) -> dict[str, Any]:
    """The token with which an orchestrator admits a participant."""
    headers = {"Authorization": f"Bearer {api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{url}/v1/livekit/token", json=wanted) as response,
    ):
        found: dict[str, Any] = await response.json()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {found}")
        return found


async def ask_for_agent(url: str, room: str) -> None:
    """Ask an orchestrator for another agent in a room."""
    async with aiohttp.ClientSession() as http, http.post(f"{url}/v1/livekit/agent", json={"room": room}) as response:
        if response.status != 202:
            raise RuntimeError(f"{response.status}: {await response.text()}")
