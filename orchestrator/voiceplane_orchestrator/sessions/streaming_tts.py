"""Stream-TTS: text in as it is written, speech out, one utterance after another. Knows no transport."""

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
"""Utterances that may wait for the present one. More are refused rather than left unread: an interrupt, which comes
after them on the same connection, must get through."""


class StreamingTtsSession:
    """One reader of texts. run() does the work; close() frees everything."""

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
        """Put it together; the speaker is owned from now on."""
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
        """Speak until cancelled, or until the listener is gone, which raises ConnectionError."""
        await first_to_end(self._send_events(), self._speak())

    async def wait_idle(self) -> None:
        """Return when nothing is being said, and nothing waits to be said."""
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
            feed, since_s = self._waiting.popleft()
            await self._speech_output.start(feed.pieces(), since_s=since_s)
            await self._speech_output.wait()

    def text(self, text: str, *, end: bool) -> None:
        """The next piece of the utterance that is open, or of a new one.

        Raises:
            VoiceplaneError: The utterance is too long with it: the piece is not taken, its end is. Or too many
                utterances wait: the whole utterance is not taken, of which this is told once.
        """
        if self._discarding:
            self._discarding = not end
            return
        feed = self._open or TextStream(max_chars=self._max_text_chars)
        if self._open is None and len(self._waiting) >= MAX_WAITING:
            self._discarding = not end
            message = f"{MAX_WAITING} utterances wait already: send this one again when some are done, or interrupt"
            raise exhausted("TOO_MUCH_TEXT", message, field="text", retry_after_ms=1000)
        try:
            feed.put(text)
        except VoiceplaneError:
            if end and self._open is not None:
                feed.end()
                self._open = None
            raise
        if self._open is None:
            self._waiting.append((feed, self._clock.now()))
            self._idle.clear()
            self._wake.set()
        self._open = feed
        if end:
            feed.end()
            self._open = None

    async def interrupt(self) -> None:
        """Drop what is being said, what waits and what is being written."""
        self._open = None
        self._discarding = False
        self._waiting.clear()
        await self._speech_output.stop()

    async def pause(self) -> None:
        """Hold the speech."""
        await self._speech_output.pause()

    async def resume(self) -> None:
        """Go on at the exact next sample."""
        await self._speech_output.resume()

    def playout(self, *, utterance: int, media_time_samples: int) -> None:
        """What the listener has heard."""
        self._speech_output.heard(utterance=utterance, media_time_samples=media_time_samples)

    def select(self, selection: VoiceSelection) -> None:
        """Speak with another voice from the next utterance on."""
        self.selection = selection
        self._speech_output.select(selection.request())

    def set_active_voice(self, active_voice: ActiveVoice) -> None:
        """A worker session was opened with this voice."""
        self._speech_output.active_voice = active_voice

    def set_outage(self, outage: State | None) -> None:
        """There is no worker, or there is one again."""
        if outage or self._had_outage:
            self._had_outage = outage is not None
            self.send_event(outage or State(state="listening"))

    def send_event(self, event: SessionEvent) -> None:
        """Pass an event on, in its order."""
        self._outgoing.put_nowait(event)

    async def close(self) -> None:
        """End all work."""
        await self._speech_output.close()


def _ignore(_utterance: AgentUtterance) -> None:
    """Nobody asks."""
