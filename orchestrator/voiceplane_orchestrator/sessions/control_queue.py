"""Controls for the worker (PAUSE, RESUME, STOP), sent one after another and off the path of the user's audio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = get_logger("speech_output")


class ControlQueue:
    """The controls of one session. run() sends them; confined to the event loop."""

    def __init__(self, *, session_id: str) -> None:
        self._session_id = session_id
        self._controls: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    def put(self, control: Callable[[], Awaitable[None]]) -> None:
        """Queue a control."""
        self._controls.put_nowait(control)

    async def wait_sent(self) -> None:
        """Return when every queued control has been sent."""
        await self._controls.join()

    async def run(self) -> None:
        """Send controls until cancelled."""
        while True:
            control = await self._controls.get()
            try:
                await control()
            except VoiceplaneError as error:  # the client is silent already, and the TTS replaces a lost worker
                _log.warning("worker control failed", session_id=self._session_id, reason=error.reason)
            finally:
                self._controls.task_done()
