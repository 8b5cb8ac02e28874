"""The output of a session, as a transport implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.tts.speech_frame import SpeechFrame


class OutputTransport(Protocol):
    """Sends a session's frames and events to the client, in order.

    Both methods wait while the client is slow, and raise ConnectionError when it is gone.
    """

    async def send_frame(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        ...

    async def send_event(self, event: SessionEvent) -> None:
        """Send an event."""
        ...
