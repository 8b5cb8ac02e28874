"""Stream-TTS: text in as it is written, speech out, one utterance after another. Knows no transport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_orchestrator.sessions.events import Selected, State
from voiceplane_orchestrator.sessions.mouth import Mouth
from voiceplane_orchestrator.sessions.text import TextFeed

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.sessions.events import Event
    from voiceplane_orchestrator.sessions.listener import Listener
    from voiceplane_orchestrator.sessions.mouth import Speaker, SpokenWith, Utterance
    from voiceplane_orchestrator.sessions.retention import Retention
    from voiceplane_orchestrator.sessions.selection import Selection

MAX_WAITING = 16
"""Utterances that may wait for the present one; beyond that, text is taken more slowly."""


class Reading:
    """One reader of texts. run() does the work; close() frees everything."""

    def __init__(
        self,
        *,
        session_id: str,
        listener: Listener,
        speaker: Speaker,
        selection: Selection,
        max_text_chars: int,
        metrics: Metrics,
        retention: Retention,
        clock: Clock,
    ) -> None:
        """Put it together; the speaker is owned from now on."""
        self.selection = selection
        self._listener = listener
        self._max_text_chars = max_text_chars
        self._clock = clock
        self._mouth = Mouth(
            session_id=session_id,
            speaker=speaker,
            listener=listener,
            metrics=metrics,
            clock=clock,
            retention=retention,
            follow_playout=False,
            on_started=_ignore,
            on_ended=_ignore,
        )
        self._waiting: asyncio.Queue[tuple[TextFeed, float]] = asyncio.Queue(MAX_WAITING)
        self._open: TextFeed | None = None
        self._news: asyncio.Queue[Event] = asyncio.Queue()
        self._troubled = False

    @property
    def epoch(self) -> int:
        """The generation epoch."""
        return self._mouth.epoch

    async def run(self) -> None:
        """Speak until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            tasks.create_task(self._speak())

    async def _tell(self) -> None:
        while True:
            await self._listener.send_event(await self._news.get())

    async def _speak(self) -> None:
        while True:
            feed, since_s = await self._waiting.get()
            await self._mouth.start(feed.pieces(), since_s=since_s)
            await self._mouth.wait()

    async def text(self, text: str, *, end: bool) -> None:
        """The next piece of the utterance that is open, or of a new one.

        Raises:
            VoiceplaneError: The utterance is too long with it.
        """
        feed = self._open
        if feed is None:
            feed = self._open = TextFeed(max_chars=self._max_text_chars)
            await self._waiting.put((feed, self._clock.now()))
        await feed.put(text)
        if end:
            self._open = None
            await feed.end()

    async def interrupt(self) -> None:
        """Drop what is being said, what waits and what is being written."""
        self._open = None
        while not self._waiting.empty():
            self._waiting.get_nowait()
        await self._mouth.stop()

    async def pause(self) -> None:
        """Hold the speech."""
        await self._mouth.pause()

    async def resume(self) -> None:
        """Go on at the exact next sample."""
        await self._mouth.resume()

    def playout(self, *, utterance: int, media_time_samples: int) -> None:
        """What the listener has heard."""
        self._mouth.heard(utterance=utterance, media_time_samples=media_time_samples)

    def select(self, selection: Selection) -> None:
        """Speak with another voice from the next utterance on."""
        self.selection = selection
        self._mouth.select(selection.wanted())

    def speaks_with(self, spoken_with: SpokenWith) -> None:
        """A worker session was opened with this voice."""
        self._mouth.spoken_with = spoken_with

    def trouble(self, trouble: State | None) -> None:
        """There is no worker, or there is one again."""
        if trouble or self._troubled:
            self._troubled = trouble is not None
            self.tell(trouble or State(state="listening"))

    def tell(self, event: Event) -> None:
        """Pass an event on, in its order."""
        self._news.put_nowait(event)

    async def close(self) -> None:
        """End all work."""
        await self._mouth.close()


def _ignore(_utterance: Utterance) -> None:
    """Nobody asks."""


def selected(selection: Selection) -> Selected:
    """The event that tells a selection."""
    return Selected(
        model=selection.model,
        voice=selection.voice,
        language=selection.language,
        speed=selection.speed,
        segmentation=selection.segmentation,
    )
