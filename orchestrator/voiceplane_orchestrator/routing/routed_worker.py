"""One worker as the router uses it: its client, its watched state, its sessions and its circuit breaker."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from voiceplane_client import Snapshot, WorkerClient, state_name, watch_worker
from voiceplane_common.logs import get_logger

from voiceplane_orchestrator.routing.circuit_breaker import CircuitBreaker
from voiceplane_orchestrator.routing.pending_sessions import PendingSessions
from voiceplane_orchestrator.routing.worker_view import ModelView, VoiceView, WorkerView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_client import WorkerSession
    from voiceplane_common.tls import ClientTlsSection
    from voiceplane_proto.v1 import tts_pb2

_log = get_logger("routing")


class RoutedWorker:
    """Watches one worker, and opens sessions on it, until it is closed.

    Attributes:
        open: Whether discovery allows new sessions.
        leaving: Whether discovery has removed it: it gets no new utterance, and is closed when no session uses it.
    """

    def __init__(self, address: str, *, changed: Callable[[], None], tls: ClientTlsSection | None = None) -> None:
        """Begin to watch the worker.

        Args:
            address: "host:port" or "unix:/path".
            changed: Called after each change of view().
            tls: The client certificates; None for plain text.
        """
        self.client = WorkerClient(address, tls=tls)
        self._changed = changed
        self._view = WorkerView(address=address)
        self._reported_sessions = 0
        self._pending = PendingSessions()
        self._breaker = CircuitBreaker(jitter=lambda: random.uniform(0.8, 1.2))  # noqa: S311 - it spreads waits
        self.open = True
        self.leaving = False
        self._full = False
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._watcher = asyncio.create_task(self._watch())

    def view(self) -> WorkerView:
        """The present state. Our sessions count from the time they are sent, before the worker reports them."""
        barred = self._breaker.is_open(asyncio.get_running_loop().time())
        full = barred and self._full
        sessions = self._reported_sessions + self._pending.count
        present = self._view
        # Routing reads the view at each decision, and it changes rarely: copying a thousand would dominate it.
        if (present.open, present.barred, present.full, present.sessions) != (self.open, barred, full, sessions):
            self._view = replace(present, open=self.open, barred=barred, full=full, sessions=sessions)
        return self._view

    def failed(self, *, full: bool = False) -> None:
        """A session failed here, or the worker was full."""
        self._full = full
        wait_s = self._breaker.failed(asyncio.get_running_loop().time())
        _log.warning("worker_barred", address=self._view.address, ms=round(wait_s * 1000))

    def succeeded(self) -> None:
        """A session was served."""
        self._breaker.succeeded()

    async def begin(self, request: tts_pb2.StartSessionRequest) -> WorkerSession:
        """Open a session; the caller must end() it.

        Raises:
            VoiceplaneError: See StartSession in the proto.
        """
        self._acquire()
        self._pending.sent()
        try:
            session = await self.client.start_session(request)
        except BaseException:
            self._pending.failed()
            self._release()
            raise
        self._pending.begun(session.session_id, revision=session.info.revision)
        return session

    async def end(self, session: WorkerSession) -> None:
        """End a session that begin() opened.

        Raises:
            VoiceplaneError: The call failed; the session counts as ended in any case.
        """
        try:
            await session.end()
        finally:
            self._pending.ended(session.session_id)
            self._release()

    async def close_when_unused(self) -> None:
        """Close when no session uses the connection: closing it during a call would cancel the call's caller."""
        self.leaving = True
        await self._unused.wait()
        await self.close()

    async def close(self) -> None:
        """Stop watching, and close the connection."""
        self._watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watcher
        await self.client.close()

    def _acquire(self) -> None:
        self._users += 1
        self._unused.clear()

    def _release(self) -> None:
        self._users -= 1
        if not self._users:
            self._unused.set()

    async def _watch(self) -> None:
        async for update in watch_worker(self.client):
            if isinstance(update, Snapshot):
                state = update.state
                if update.first:
                    _log.info("worker_connected", address=self._view.address, worker_id=state.worker_id)
                    self._breaker.succeeded()
                self._reported_sessions = state.load.sessions
                self._pending.snapshot(state.revision)
                families = [family.name for family in update.capabilities.families]
                device = update.capabilities.device
                self._update(worker_view(self._view.address, state, device=device, families=families))
            else:
                self._pending.lost()
                if update.connected:
                    _log.warning("worker_lost", address=self._view.address, reason=update.reason)
                    self._update(replace(self._view, connected=False, ready=False))

    def _update(self, view: WorkerView) -> None:
        self._view = view
        self._changed()


def worker_view(address: str, state: tts_pb2.WorkerState, *, device: str, families: Iterable[str] = ()) -> WorkerView:
    """The view of a worker's snapshot."""
    return WorkerView(
        address=address,
        connected=True,
        ready=state.ready,
        draining=state.draining,
        worker_id=state.worker_id,
        device=device,
        families=tuple(families),
        models=tuple(_model_view(model) for model in state.models),
        sessions=state.load.sessions,
        max_sessions=state.load.max_sessions,
        queue_depth=state.load.queue_depth,
        first_audio_p50_ms=state.load.first_audio_p50_ms,
        rtf_p50=state.load.rtf_p50,
        device_memory_bytes=state.device_memory.total_bytes,
        device_memory_used_bytes=state.device_memory.used_bytes,
    )


def _model_view(model: tts_pb2.ModelStatus) -> ModelView:
    return ModelView(
        model_id=model.model_id,
        family=model.family,
        state=state_name(model.state),
        reason=model.reason,
        message=model.message,
        references=model.references,
        memory_bytes=model.memory_bytes,
        is_default=model.is_default,
        voices=tuple(VoiceView(name=voice.name, language=voice.language) for voice in model.voices),
        languages=tuple(model.languages),
        fetched_bytes=model.fetched_bytes,
        fetch_bytes=model.fetch_bytes,
        fetch_bytes_per_s=model.fetch_bytes_per_s,
        prefetched=model.prefetched,
        unloadable=model.unloadable,
    )
