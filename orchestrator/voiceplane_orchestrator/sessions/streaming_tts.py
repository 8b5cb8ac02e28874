"""Streaming TTS: text in as it is written, speech out, one utterance after another. The module knows no transport."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, exhausted
from voiceplane_common.tasks import first_to_end

from voiceplane_orchestrator.sessions.events import State
from voiceplane_orchestrator.sessions.speech_output import SpeechOutput
from voiceplane_orchestrator.sessions.text_stream import TextStream

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.sessions.output_transport import OutputTransport
    from voiceplane_orchestrator.sessions.retention import Retention
    from voiceplane_orchestrator.sessions.utterance import ActiveVoice, AgentUtterance
    from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection
    from voiceplane_orchestrator.tts.base import Tts

MAX_WAITING = 64
"""Utterances that may wait. More are refused, and not left unread: an interrupt that follows on the same connection
must be read."""


class StreamingTtsSession:
    """A TTS session. run() does the work; close() frees everything."""

    def __init__(
        self,
        *,
        session_id: str,
        output: OutputTransport,
        tts: Tts,
        selection: VoiceSelection,
        max_text_chars: int,
        metrics: Metrics,
        retention: Retention,
        clock: Clock,
    ) -> None:
        """Assemble a session; it owns the TTS from now on."""
        self.selection = selection
        self._output = output
        self._max_text_chars = max_text_chars
        self._clock = clock
        self._speech_output = SpeechOutput(
            session_id=session_id,
            tts=tts,
            output=output,
            metrics=metrics,
            clock=clock,
            retention=retention,
            follow_playout=False,
            on_started=_ignore,
            on_ended=_ignore,
        )
        self._waiting: deque[tuple[TextStream, float]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._open: TextStream | None = None
        self._discarding = False
        self._outgoing: asyncio.Queue[SessionEvent] = asyncio.Queue()
        self._had_outage = False

    @property
    def epoch(self) -> int:
        """The generation epoch."""
        return self._speech_output.epoch

    async def run(self) -> None:
        """Speak until cancelled, or until the client is gone, which raises ConnectionError."""
        await first_to_end(self._send_events(), self._speak())

    async def wait_idle(self) -> None:
        """Return when nothing is being spoken, and nothing waits."""
        await self._idle.wait()

    async def _send_events(self) -> None:
        while True:
            await self._output.send_event(await self._outgoing.get())

    async def _speak(self) -> None:
        while True:
            while not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            stream, since_s = self._waiting.popleft()
            await self._speech_output.start(stream.chunks(), since_s=since_s)
            await self._speech_output.wait()

    def text(self, text: str, *, end: bool) -> None:
        """Add text to the open utterance, or begin one.

        Raises:
            VoiceplaneError: TEXT_TOO_LONG: the text is dropped, but `end` takes effect. TOO_MUCH_TEXT: too many
                utterances wait; the whole utterance is dropped, and the error is raised once.
        """
        if self._discarding:
            self._discarding = not end
            return
        stream = self._open or TextStream(max_chars=self._max_text_chars)
        if self._open is None and len(self._waiting) >= MAX_WAITING:
            self._discarding = not end
            message = f"{MAX_WAITING} utterances wait already: send this one again after some have ended, or interrupt"
            raise exhausted("TOO_MUCH_TEXT", message, field="text", retry_after_ms=1000)
        try:
            stream.put(text)
        except VoiceplaneError:
            if end and self._open is not None:
                stream.end()
                self._open = None
            raise
        if self._open is None:
            self._waiting.append((stream, self._clock.now()))
            self._idle.clear()
            self._wake.set()
        self._open = stream
        if end:
            stream.end()
            self._open = None

    async def interrupt(self) -> None:
        """Drop the current utterance, the waiting ones and the open one."""
        self._open = None
        self._discarding = False
        self._waiting.clear()
        await self._speech_output.stop()

    async def pause(self) -> None:
        """Pause the speech."""
        await self._speech_output.pause()

    async def resume(self) -> None:
        """Continue at the exact next sample."""
        await self._speech_output.resume()

    def playout(self, *, utterance: int, media_time_samples: int) -> None:
        """Note the client's playout report, in samples of 48 kHz."""
        self._speech_output.heard(utterance=utterance, media_time_samples=media_time_samples)

    def select(self, selection: VoiceSelection) -> None:
        """Use another voice from the next utterance on."""
        self.selection = selection
        self._speech_output.select(selection.request())

    def set_active_voice(self, active_voice: ActiveVoice) -> None:
        """A session on a worker was opened with this voice."""
        self._speech_output.active_voice = active_voice

    def set_outage(self, outage: State | None) -> None:
        """Set or clear the state that reports that no worker is available."""
        if outage or self._had_outage:
            self._had_outage = outage is not None
            self.send_event(outage or State(state="listening"))

    def send_event(self, event: SessionEvent) -> None:
        """Send an event to the client, in order."""
        self._outgoing.put_nowait(event)

    async def close(self) -> None:
        """End all work."""
        await self._speech_output.close()


def _ignore(_utterance: AgentUtterance) -> None:
    """This session needs no notice of utterances."""
