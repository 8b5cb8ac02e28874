"""Text in, speech out: to the speakers, a file or a pipe, while the text still arrives."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_cli.audio_output import Sink
from voiceplane_cli.orchestrator_client import Conversation, Event, OrchestratorClient, error_from_json
from voiceplane_cli.output import CliError, ExitCode
from voiceplane_cli.playout import PlayoutBuffer, ReplyFrame
from voiceplane_cli.wav import WavWriter

PIECE_CHARS = 8_000
"""Of one `text` message: at most 64 KiB, also where each character takes 6 bytes as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """What `hello` asks for; None for the server's choice."""

    model: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float | None = None
    segmentation: str | None = None
    pacing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What was said; the `--json` output.

    Attributes:
        model: That spoke.
        voice: Likewise.
        first_audio_ms: From the first text sent to the first frame received.
        duration_ms: Of the speech.
        elapsed_ms: From the first text to the last frame.
        rtf: elapsed_ms over duration_ms. Just below 1 where the server sends at the pace of speech, so not for a file.
        compute_ms: What the worker computed for it; None if the server does not tell.
        fallback: Why another model spoke than the one that was asked for; empty if it did not.
    """

    model: str
    voice: str
    first_audio_ms: float
    duration_ms: float
    elapsed_ms: float
    rtf: float
    compute_ms: float | None = None
    fallback: str = ""


class FileSink:
    """A WAV file, or bare PCM, that grows with the speech. A file has its name once it is complete."""

    def __init__(self, file: BinaryIO, *, raw: bool = False, rename: tuple[Path, Path] | None = None) -> None:
        """Begin to write.

        Args:
            file: Open for binary writing.
            raw: Bare PCM.
            rename: The name of the file, and the one that it gets in the end; None to leave its name.
        """
        self._file = file
        self._rename = rename
        self._wav = None if raw else WavWriter(file)

    async def write(self, pcm: bytes) -> None:
        """Append; a disk or a pipe of this machine is taken to be quick enough for 96 kB/s."""
        if self._wav:
            self._wav.write(pcm)
        else:
            self._file.write(pcm)
            self._file.flush()

    async def close(self) -> None:
        """Finish the header, and the file unless it is stdout."""
        if self._wav:
            self._wav.close()
        if self._file is not sys.stdout.buffer:
            self._file.close()
        if self._rename:
            temporary, final = self._rename
            temporary.replace(final)

    def discard(self) -> None:
        """Leave no file behind, and one of that name that was there before as it was."""
        if self._file is not sys.stdout.buffer:
            self._file.close()
        if self._rename:
            self._rename[0].unlink(missing_ok=True)


def open_file(name: str, *, raw: bool) -> FileSink:
    """A sink for `-o`: a path, or "-" for stdout.

    Raises:
        CliError: It can't be written, or stdout is a terminal.
    """
    if name == "-":
        if sys.stdout.isatty():
            raise CliError("-o - writes audio: send it to a file or a player, not to a terminal", code=ExitCode.USAGE)
        return FileSink(sys.stdout.buffer, raw=raw)
    path = Path(name)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device keeps its name
            return FileSink(path.open("wb"), raw=raw)
        final = path.resolve()
        temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
        return FileSink(temporary.open("wb"), raw=raw, rename=(temporary, final))
    except OSError as error:
        raise CliError(f"cannot write {name}: {error.strerror}", code=ExitCode.USAGE) from None


@asynccontextmanager
async def finishing(sink: Sink) -> AsyncIterator[None]:
    """Close a sink in the end; after a failure, a file leaves nothing behind."""
    try:
        yield
    except BaseException:
        if isinstance(sink, FileSink):
            sink.discard()
        else:
            await sink.close()
        raise
    await sink.close()


async def speak(
    api: OrchestratorClient,
    text: AsyncIterator[str],
    *,
    wanted: SpeechOptions,
    sink: Sink,
    clock: Callable[[], float] = time.monotonic,
) -> Spoken:
    """Speak one utterance.

    Args:
        api: The server.
        text: Pieces of any size; each leaves at once.
        wanted: Model, voice and manner.
        sink: Takes the speech as it arrives.
        clock: In seconds.

    Raises:
        CliError: Nothing in the text can be spoken, or the connection broke.
        VoiceplaneError: The server's reason.
    """
    hello = {name: getattr(wanted, name) for name in SpeechOptions.__dataclass_fields__}
    async with api.connect("/v1/speak", **hello) as session:
        hearing = _Hearing(session, sink=sink, clock=clock)
        sending = asyncio.create_task(_send(session, text, hearing=hearing))
        listening = asyncio.create_task(hearing.listen())
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (listening, sending):
                if task.done():
                    task.result()  # a failure of one ends the other
            return hearing.spoken()
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)


async def _send(session: Conversation, text: AsyncIterator[str], *, hearing: _Hearing) -> None:
    async for piece in text:
        for start in range(0, len(piece), PIECE_CHARS):
            hearing.sent()
            await session.send("text", text=piece[start : start + PIECE_CHARS], end=False)
    hearing.sent()
    await session.send("text", text="", end=True)


class _Hearing:
    """The receiving half of one utterance."""

    def __init__(self, session: Conversation, *, sink: Sink, clock: Callable[[], float]) -> None:
        self._session = session
        self._sink = sink
        self._clock = clock
        self._playout = PlayoutBuffer()
        self._first_sent: float | None = None
        self._first_heard: float | None = None
        self._last_heard = 0.0
        self._samples = 0
        self._compute_ms: float | None = None
        self._fallback = ""
        self._model = str(session.ready.get("model", ""))
        self._voice = str(session.ready.get("voice", ""))

    def sent(self) -> None:
        """Text has left."""
        if self._first_sent is None:
            self._first_sent = self._clock()

    async def listen(self) -> None:
        """Take frames until the utterance is done."""
        async for item in self._session:
            if isinstance(item, ReplyFrame):
                await self._take(item)
            elif self._obey(item):
                return
        raise CliError("the server closed before all was spoken", code=ExitCode.UNREACHABLE)

    def spoken(self) -> Spoken:
        """The figures, once all was heard."""
        if self._first_sent is None or self._first_heard is None:
            raise CliError("nothing in the text can be spoken: give it words", code=ExitCode.USAGE)
        duration_ms = self._samples * 1000 / SAMPLE_RATE_HZ
        elapsed_ms = (self._last_heard - self._first_sent) * 1000
        return Spoken(
            model=self._model,
            voice=self._voice,
            first_audio_ms=round((self._first_heard - self._first_sent) * 1000, 1),
            duration_ms=round(duration_ms, 1),
            elapsed_ms=round(elapsed_ms, 1),
            rtf=round(elapsed_ms / duration_ms, 3) if duration_ms else 0.0,
            compute_ms=self._compute_ms,
            fallback=self._fallback,
        )

    async def _take(self, frame: ReplyFrame) -> None:
        if not self._playout.push(frame):
            return
        now = self._clock()
        self._first_heard = now if self._first_heard is None else self._first_heard
        self._last_heard = now
        pcm = self._playout.pull(self._playout.buffered_samples)
        self._samples += len(pcm) // 2
        await self._sink.write(pcm)
        cursor = self._playout.cursor
        await self._session.send("playout", utterance=cursor.utterance, media_time_samples=cursor.media_time_samples)

    def _obey(self, event: Event) -> bool:
        """Whether the utterance is done."""
        kind = event.get("type")
        if kind == "error":
            raise error_from_json(event)
        if kind == "stop":
            self._playout.stop(epoch=event["epoch"])
        elif kind == "utterance":
            self._model = event.get("model") or self._model
            self._voice = event.get("voice") or self._voice
            if event.get("fallback"):
                self._fallback = str(event.get("reason") or f"{self._model} speaks meanwhile")
        elif kind == "done":
            if event.get("result") == "interrupted":
                raise CliError("the server stopped the speech before its end")
            self._compute_ms = event.get("compute_ms")
            return True
        return False


async def pieces_of(text: str) -> AsyncIterator[str]:
    """A text that is there already."""
    yield text


async def read_stream(file_descriptor: int) -> AsyncIterator[str]:
    """Text as it arrives at a file descriptor, such as a language model's tokens through a pipe.

    Raises:
        CliError: It is not UTF-8, or can't be read.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes | OSError] = asyncio.Queue()

    def read() -> None:
        data: bytes | OSError = b"?"
        while data and isinstance(data, bytes):
            try:
                data = os.read(file_descriptor, 4096)
            except OSError as error:
                data = error
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, data)
            except RuntimeError:  # the loop is closed
                return

    # A thread, since files and pipes want different ways of waiting; a daemon, since a read can't be cancelled.
    threading.Thread(target=read, daemon=True, name="stdin").start()
    decoder = codecs.getincrementaldecoder("utf-8")()
    data: bytes | OSError = b"?"
    while data:
        data = await arrived.get()
        if isinstance(data, OSError):
            raise CliError(f"cannot read standard input: {data.strerror}", code=ExitCode.USAGE)
        try:
            piece = decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise CliError(
                "standard input is not UTF-8 text: convert it (iconv -t UTF-8)", code=ExitCode.USAGE
            ) from None
        if piece:
            yield piece
