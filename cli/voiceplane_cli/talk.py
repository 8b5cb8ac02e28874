"""A conversation: with a recording as the user and a recording of the reply, or with a microphone and speakers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from voiceplane_common.frames import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ
from voiceplane_common.tasks import first_to_end

from voiceplane_cli.audio_output import MISSING, Sink, load_sounddevice
from voiceplane_cli.orchestrator_client import Conversation, Event, OrchestratorClient, error_from_json
from voiceplane_cli.output import CliError, note
from voiceplane_cli.playout import Cursor, PlayoutBuffer, ReplyFrame
from voiceplane_cli.say import SpeechOptions

MICROPHONE_RATE_HZ = 16_000
MICROPHONE_FRAME_BYTES = MICROPHONE_RATE_HZ * FRAME_MS // 1000 * 2
REPORT_TICKS = 4
"""A playout report every 80 ms; the server wants one at least every 100 ms."""
SETTLE_TICKS = 2000 // FRAME_MS
"""Silence after the recording before it counts as the end: longer than the server's endpointing."""


@dataclass(slots=True, kw_only=True)
class ConversationState:
    """Where the conversation stands, from the server's events.

    Attributes:
        state: listening, thinking, speaking, paused or no_worker.
        transcripts: The final ones: role, text, interrupted.
        latencies: As the server measured them.
        begun: Utterances that were announced.
        sent: Utterances whose last frame was sent, with what became of them.
        open_turns: Turns with a partial and no final transcript.
    """

    state: str = "listening"
    transcripts: list[dict[str, Any]] = field(default_factory=list)
    latencies: list[dict[str, Any]] = field(default_factory=list)
    begun: set[int] = field(default_factory=set)
    sent: dict[int, str] = field(default_factory=dict)
    open_turns: set[int] = field(default_factory=set)

    def update(self, event: Event) -> None:
        """Learn from an event."""
        kind = event.get("type")
        if kind == "state":
            self.state = event["state"]
        elif kind == "partial":
            self.open_turns.add(event["turn"])
        elif kind == "transcript" and event.get("final", True):
            self._transcript(event)
        elif kind == "latency":
            told = {name: value for name, value in event.items() if name != "type" and value is not None}
            self.latencies.append(told)
        elif kind == "utterance":
            self.begun.add(event["utterance"])
        elif kind == "done":
            self.sent[event["utterance"]] = event["result"]

    def _transcript(self, event: Event) -> None:
        if event["role"] == "user":
            self.open_turns -= {event.get("turn"), event.get("replaces")}
            if event.get("replaces") is not None:
                self.transcripts = [each for each in self.transcripts if each.get("turn") != event["replaces"]]
        kept = ("role", "turn", "utterance", "text", "interrupted")
        self.transcripts.append({name: event[name] for name in kept if event.get(name) is not None})

    def has_replied(self, playout: PlayoutBuffer) -> bool:
        """Whether a reply has been heard to its end, the server knows that, and nothing else is on its way."""
        waiting = self.state in {"thinking", "paused", "no_worker"} or self.open_turns
        complete = {number for number, result in self.sent.items() if result == "complete"}
        unheard = {number for number in complete if not playout.has_ended(number)}
        told = {each.get("utterance") for each in self.transcripts if each["role"] == "agent"}
        return bool(complete) and complete <= told and not waiting and not unheard and self.begun <= self.sent.keys()


class ReplyListener:
    """The client's side of one conversation: obeys the server, reports the cursor. One sound device pulls from it."""

    def __init__(self, session: Conversation, *, said: Callable[[str], None]) -> None:
        """Wrap a session.

        Args:
            session: After its `ready`.
            said: Told each line of the conversation, for people.
        """
        self.progress = ConversationState()
        self.playout = PlayoutBuffer()
        self.playout.stop(epoch=int(session.ready.get("epoch", 0)))
        self._session = session
        self._said = said
        self._lock = threading.Lock()  # a sound device pulls in a thread of its own
        self._reported = Cursor()

    def pull(self, samples: int) -> bytes:
        """What the sound device plays next, without silence."""
        with self._lock:
            return self.playout.pull(samples)

    async def listen(self) -> None:
        """Obey the server until it closes."""
        async for item in self._session:
            with self._lock:
                answer = self._push(item) if isinstance(item, ReplyFrame) else self._obey(item)
            if answer:
                await self.report(always=True)

    async def report(self, *, always: bool = False) -> None:
        """Tell the server what has been heard, if that has changed."""
        with self._lock:
            cursor = self.playout.cursor
        if cursor.utterance and (always or cursor != self._reported):
            self._reported = cursor
            fields = {"utterance": cursor.utterance, "media_time_samples": cursor.media_time_samples}
            await self._session.send("playout", **fields)

    def _push(self, frame: ReplyFrame) -> bool:
        self.playout.push(frame)
        return False

    def _obey(self, event: Event) -> bool:
        """Whether the server wants a report at once."""
        kind = event.get("type")
        self.progress.update(event)
        if kind == "pause":
            self.playout.pause()
        elif kind == "resume":
            self.playout.resume()
        elif kind == "stop":
            self.playout.stop(epoch=event["epoch"])
        elif kind == "error":
            self._said(f"error: {error_from_json(event).message}")
        line = describe(event)
        if line:
            self._said(line)
        return kind in {"pause", "stop"}


def describe(event: Event) -> str:
    """A line for people; empty for what they need not see."""
    kind = event.get("type")
    if kind == "transcript" and event.get("final", True):
        who = "you" if event["role"] == "user" else "voiceplane"
        return f"{who}: {event['text']}" + (" (interrupted)" if event.get("interrupted") else "")
    if kind == "latency":
        figures = [f"{name.removesuffix('_ms').replace('_', ' ')} {value:.0f} ms" for name, value in _figures(event)]
        return f"  [{', '.join(figures)}]" if figures else ""
    if kind == "rerouted":
        return f"  [another worker goes on: {event.get('reason', '')}]"
    if kind == "state" and event.get("state") == "no_worker":
        return f"  [no worker: {event.get('reason') or 'waiting for one'}]"
    return ""


def _figures(event: Event) -> list[tuple[str, float]]:
    return [(name, value) for name, value in event.items() if name.endswith("_ms") and value is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Talked:
    """What was said; the `--json` output.

    Attributes:
        transcripts: In order.
        latencies: As the server measured them.
        reply_ms: What was recorded.
    """

    transcripts: list[dict[str, Any]]
    latencies: list[dict[str, Any]]
    reply_ms: float


async def talk_with_recording(
    api: OrchestratorClient,
    recording: bytes,
    *,
    wanted: SpeechOptions,
    sink: Sink,
    fast: bool,
    patience_s: float,
    said: Callable[[str], None] = note,
    tick_s: float = FRAME_MS / 1000,
) -> Talked:
    """Speak a recording to the server, as a microphone would, until the reply has been heard.

    Args:
        api: The server.
        recording: Mono s16le at 16 kHz.
        wanted: Model, voice and manner.
        sink: Gets the reply as it was played, from its first sample on; pauses are silence.
        fast: Send the recording at once instead of at the pace of speech.
        patience_s: How long to wait for a reply after the recording.
        said: Told each line of the conversation.
        tick_s: The length of a frame on the clock.

    Raises:
        CliError: No reply came.
        VoiceplaneError: The server's reason.
    """
    async with api.connect("/v1/talk", sample_rate_hz=MICROPHONE_RATE_HZ, **asdict(wanted)) as session:
        listener = ReplyListener(session, said=said)
        recorder = _Recorder(listener, sink=sink)
        patience_ticks = round(patience_s * 1000 / FRAME_MS)
        speaking = _speak(session, recorder, recording, fast=fast, tick_s=tick_s, patience_ticks=patience_ticks)
        await first_to_end(listener.listen(), speaking)
        progress = listener.progress
        reply_ms = recorder.samples * 1000 / SAMPLE_RATE_HZ
        return Talked(transcripts=progress.transcripts, latencies=progress.latencies, reply_ms=round(reply_ms, 1))


class _Recorder:
    """A sound device that plays into a recording: 20 ms of each tick, silence where there is no speech."""

    def __init__(self, listener: ReplyListener, *, sink: Sink) -> None:
        self.samples = 0
        self.listener = listener
        self._sink = sink
        self._gap = 0
        self._ticks = 0

    async def tick(self) -> None:
        """Play one frame's time. Silence is written only once speech follows it."""
        pcm = self.listener.pull(FRAME_SAMPLES)
        if pcm:
            if self.samples and self._gap:
                await self._write(bytes(2 * self._gap))
            self._gap = 0
            await self._write(pcm)
        self._gap += FRAME_SAMPLES - len(pcm) // 2
        self._ticks += 1
        if self._ticks % REPORT_TICKS == 0:
            await self.listener.report()

    async def _write(self, pcm: bytes) -> None:
        self.samples += len(pcm) // 2
        await self._sink.write(pcm)


async def _speak(
    session: Conversation, recorder: _Recorder, recording: bytes, *, fast: bool, tick_s: float, patience_ticks: int
) -> None:
    frames = [
        recording[start : start + MICROPHONE_FRAME_BYTES] for start in range(0, len(recording), MICROPHONE_FRAME_BYTES)
    ]
    if fast:
        for frame in frames:
            await session.send_audio(frame)
        frames = []
    listener = recorder.listener
    async for tick in _ticks(tick_s):
        silent_ticks = tick - len(frames)
        await session.send_audio(frames[tick] if silent_ticks < 0 else bytes(MICROPHONE_FRAME_BYTES))
        await recorder.tick()
        if silent_ticks >= SETTLE_TICKS and listener.progress.has_replied(listener.playout):
            await listener.report(always=True)
            return
        if silent_ticks > patience_ticks and listener.playout.buffered_samples == 0:
            heard = any(each["role"] == "user" for each in listener.progress.transcripts)
            why = "words were heard" if heard else "no words were heard in the recording"
            raise CliError(f"no reply came to its end ({why}): raise --patience, or see the server's log")


async def _ticks(tick_s: float) -> AsyncIterator[int]:
    """0, 1, 2 … at a steady pace, however long each takes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    tick = 0
    while True:
        yield tick
        tick += 1
        await asyncio.sleep(max(0.0, start + tick * tick_s - loop.time()))


async def talk_live(
    api: OrchestratorClient, *, wanted: SpeechOptions, said: Callable[[str], None] = print, sounddevice: Any = None
) -> None:
    """Talk through the microphone and the speakers until interrupted.

    Raises:
        CliError: There is no PortAudio or no device.
    """
    device = sounddevice or load_sounddevice()
    if device is None:
        raise CliError(f"{MISSING.replace('-o out.wav', '--input in.wav --output reply.wav')}")
    async with api.connect("/v1/talk", sample_rate_hz=MICROPHONE_RATE_HZ, **asdict(wanted)) as session:
        listener = ReplyListener(session, said=said)
        loop = asyncio.get_running_loop()
        microphone: asyncio.Queue[bytes] = asyncio.Queue()

        def captured(data: Any, *_: object) -> None:
            loop.call_soon_threadsafe(microphone.put_nowait, bytes(data))

        def wanted_samples(out: Any, frames: int, *_: object) -> None:
            pcm = listener.pull(frames)
            out[:] = pcm + bytes(2 * frames - len(pcm))

        shared = {"channels": 1, "dtype": "int16"}
        try:
            capture = device.RawInputStream(
                samplerate=MICROPHONE_RATE_HZ, blocksize=MICROPHONE_FRAME_BYTES // 2, callback=captured, **shared
            )
            play = device.RawOutputStream(
                samplerate=SAMPLE_RATE_HZ, blocksize=FRAME_SAMPLES, callback=wanted_samples, **shared
            )
        except device.PortAudioError as error:
            remedy = "connect one, or use --input in.wav --output reply.wav"
            raise CliError(f"no microphone or speakers can be opened ({error}): {remedy}") from None
        said("Speak; interrupt whenever you like. Ctrl-C ends it.")
        with capture, play:
            await first_to_end(listener.listen(), _send_microphone(session, microphone), _keep_reporting(listener))


async def _send_microphone(session: Conversation, microphone: asyncio.Queue[bytes]) -> None:
    while True:
        await session.send_audio(await microphone.get())


async def _keep_reporting(listener: ReplyListener) -> None:
    async for _ in _ticks(REPORT_TICKS * FRAME_MS / 1000):
        await listener.report()
