"""All sessions of a worker: open, find, end, and expire them after the idle timeout."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import grpc
from voiceplane_common.errors import VoiceplaneError, not_found
from voiceplane_common.logs import get_logger

from voiceplane_worker.sessions.admission import admit_session, draining_error
from voiceplane_worker.sessions.session import Session
from voiceplane_worker.sessions.session_context import SessionProfile, SessionServices
from voiceplane_worker.sessions.synthesizer import VoiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.metrics import Metrics
    from voiceplane_worker.residency.model_manager import ModelManager
    from voiceplane_worker.sessions.requests import SessionRequest

_log = get_logger("sessions")


class SessionStore:
    """The sessions. Confined to the event loop."""

    def __init__(
        self, *, manager: ModelManager, services: SessionServices, metrics: Metrics, changed: Callable[[], None]
    ) -> None:
        """Make an empty store.

        Args:
            manager: Provides references on models.
            services: Shared by all sessions.
            metrics: Prometheus metrics to update.
            changed: Called when a session begins or ends.
        """
        self._manager = manager
        self._services = services
        self._metrics = metrics
        self._changed = changed
        self._sessions: dict[str, Session] = {}
        self._opening: set[str] = set()
        self._unwanted: set[str] = set()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def opening(self) -> frozenset[str]:
        """The ids of sessions that are being opened: they wait for their model."""
        return frozenset(self._opening)

    @property
    def draining(self) -> bool:
        """Whether new sessions are refused because the worker is about to exit."""
        return self._draining

    def get(self, session_id: str) -> Session:
        """An open session.

        Raises:
            VoiceplaneError: NOT_FOUND.
        """
        session = self._sessions.get(session_id)
        if session is None:
            message = f"no session {session_id!r}: it has ended, or was never started; call StartSession"
            raise not_found("session_id", message, reason="SESSION_NOT_FOUND")
        return session

    async def start(self, request: SessionRequest) -> Session:
        """Open a session: admission first, then a reference on its model.

        Raises:
            VoiceplaneError: See admit_session and ModelManager.acquire.
        """
        session_id = request.session_id or uuid.uuid4().hex
        self._admit(session_id)
        self._opening.add(session_id)
        self._note()
        try:
            model_ref = await self._manager.acquire(request.model_id, only_if_resident=request.only_if_resident)
            try:
                voice = request.choose_voice(model_ref.voice_catalog)
                if self._draining:  # the drain may have begun during the load
                    raise draining_error()
                if session_id in self._unwanted:
                    raise VoiceplaneError(
                        grpc.StatusCode.CANCELLED, "SESSION_ENDED", "the session was ended before it began"
                    )
            except BaseException:
                model_ref.release()
                raise
        finally:
            self._opening.discard(session_id)
            self._unwanted.discard(session_id)
            self._note()
        voice_settings = VoiceSettings(
            voice=voice.name, language=request.language or voice.language, speed=request.speed
        )
        profile = SessionProfile(
            voice_settings=voice_settings,
            segmentation=request.segmentation,
            text_policy=request.text_policy(self._services.settings),
            credit_flow_control=request.credit_flow_control,
            unpaced=request.unpaced,
        )
        session = Session(session_id=session_id, model_ref=model_ref, profile=profile, services=self._services)
        self._sessions[session_id] = session
        self._metrics.sessions_started.inc()
        self._note()
        _log.info("session_started", session_id=session_id, model_id=model_ref.model_id, voice=voice.name)
        return session

    async def end(self, session_id: str, error: VoiceplaneError | None = None) -> Session | None:
        """End a session, also one that is being opened; None if there is none of that id yet."""
        if session_id in self._opening:
            self._unwanted.add(session_id)
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self._note()
            await session.end(error)
            _log.info("session_ended", session_id=session_id, frames=session.last_sequence)
        return session

    async def reap_forever(self) -> None:
        """End sessions whose clients have neither called nor streamed for the idle timeout."""
        timeout_s = self._services.settings.session_idle_timeout_ms / 1000
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(timeout_s / 4)
            horizon = loop.time() - timeout_s
            for session in list(self._sessions.values()):
                if not session.streaming and session.last_active < horizon:
                    _log.warning("session_idle", session_id=session.session_id)
                    await self.end(session.session_id)

    def drain(self) -> None:
        """Refuse new sessions from now on."""
        self._draining = True
        self._changed()

    async def wait_empty(self) -> None:
        """Return when no session is left."""
        await self._empty.wait()

    async def end_all(self, error: VoiceplaneError) -> None:
        """End every session with an error."""
        for session_id in list(self._sessions):
            await self.end(session_id, error)

    def _admit(self, session_id: str) -> None:
        try:
            admit_session(
                session_id,
                taken=self._sessions.keys() | self._opening,
                limit=self._services.settings.max_sessions,
                draining=self._draining,
            )
        except VoiceplaneError as error:
            self._metrics.sessions_refused.labels(reason=error.reason).inc()
            raise

    def _note(self) -> None:
        if self._sessions or self._opening:
            self._empty.clear()
        else:
            self._empty.set()
        self._metrics.sessions.set(len(self._sessions))
        self._changed()
