"""The session on a worker that serves a conversation: opened on the best worker, and replaced when that one fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger
from voiceplane_proto.v1 import tts_pb2

from voiceplane_orchestrator.routing.score import NO_MODEL, NO_WORKER, UNKNOWN_MODEL
from voiceplane_orchestrator.tts.base import TtsState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_client import WorkerSession

    from voiceplane_orchestrator.routing.routed_worker import RoutedWorker
    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.score import RoutingDecision
    from voiceplane_orchestrator.routing.voice_request import Pacing, VoiceRequest

REROUTED_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Errors that the worker causes, or its death: another worker may succeed. The request causes all others."""

# A circuit breaker closes after a time, without a change of any worker.
RECHECK_INTERVAL_S = 0.1

SEGMENTATIONS = {
    "": tts_pb2.SEGMENTATION_UNSPECIFIED,
    "clause": tts_pb2.SEGMENTATION_CLAUSE,
    "sentence": tts_pb2.SEGMENTATION_SENTENCE,
}

MARKUPS = {
    "": tts_pb2.MARKUP_UNSPECIFIED,
    "strip": tts_pb2.MARKUP_STRIP,
    "speak": tts_pb2.MARKUP_SPEAK,
    "ssml": tts_pb2.MARKUP_SSML,
}
EMOJIS = {"": tts_pb2.EMOJI_UNSPECIFIED, "drop": tts_pb2.EMOJI_DROP, "name": tts_pb2.EMOJI_NAME}
NORMALISES = {
    "": tts_pb2.NORMALISE_UNSPECIFIED,
    "full": tts_pb2.NORMALISE_FULL,
    "none": tts_pb2.NORMALISE_NONE,
}
PACINGS = {"realtime": tts_pb2.PACING_REALTIME, "unpaced": tts_pb2.PACING_UNPACED}

_log = get_logger("tts")


@dataclass(slots=True, kw_only=True)
class OpenSession:
    """A session on a worker.

    Attributes:
        worker: The worker as the router knows it.
        address: Its address.
        session: The session.
        request: The voice that it was opened for.
        fallback: Whether another model than the requested one speaks.
    """

    worker: RoutedWorker
    address: str
    session: WorkerSession
    request: VoiceRequest
    fallback: bool


class WorkerSessions:
    """Holds at most one open session of a conversation. Confined to the event loop.

    Attributes:
        request: The voice that the next utterance uses.
        current: The open session; None if there is none.
    """

    def __init__(
        self,
        *,
        router: Router,
        request: VoiceRequest,
        session_key: str,
        recovery_timeout_s: float,
        on_state: Callable[[TtsState], None],
        pacing: Pacing = "realtime",
    ) -> None:
        self.request = request
        self.current: OpenSession | None = None
        self._router = router
        self._key = session_key
        self._recovery_timeout_s = recovery_timeout_s
        self._on_state = on_state
        self._pacing = PACINGS[pacing]
        self._lock = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def get(self, *, avoid: Iterable[str] = ()) -> OpenSession:
        """The session for the next utterance. It is opened if there is none, or if another voice is requested.

        Args:
            avoid: Addresses of workers that failed this utterance.

        Raises:
            VoiceplaneError: No worker is available in time, or the worker refuses the request.
        """
        async with self._lock:
            opened = self.current
            if opened is not None and self._may_keep(opened):
                return opened
            if opened is not None:
                self.abandon(opened)
                await asyncio.gather(*self._ending)  # the new session may need the place of the old one
            self.current = await self._find(avoid)
            return self.current

    def abandon(self, opened: OpenSession) -> None:
        """Stop using a session, and end it in the background."""
        if self.current is opened:
            self.current = None
            self._end_in_background(opened)

    async def close(self) -> None:
        """End the session."""
        opened, self.current = self.current, None
        if opened is not None:
            self._end_in_background(opened)
        await asyncio.gather(*self._ending)

    def _may_keep(self, opened: OpenSession) -> bool:
        """Whether a session serves what is requested, and its worker stays or no other could replace it."""
        if opened.request != self.request or opened.fallback:
            return False
        if not opened.worker.leaving:
            return True
        try:
            self._router.choose(opened.request, session_key=self._key)
        except VoiceplaneError:
            self._router.demand(opened.request.model_id)
            return True
        return False

    async def _find(self, avoid: Iterable[str]) -> OpenSession:
        """Open a session on the best worker; if there is none, wait for one until the recovery timeout."""
        deadline = asyncio.get_running_loop().time() + self._recovery_timeout_s
        waiting = scaling_up = False
        while True:
            try:
                choice = self._router.choose(self.request, session_key=self._key, avoid=avoid)
                return await self._open(choice)
            except VoiceplaneError as error:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                if error.reason == UNKNOWN_MODEL:  # of the present workers; one that starts may know it
                    scaling_up = scaling_up or await self._router.is_scaling_up(self.request.model_id)
                if not (scaling_up and error.reason == UNKNOWN_MODEL) and error.code not in REROUTED_CODES:
                    raise
                if error.reason in {NO_WORKER, UNKNOWN_MODEL} and not waiting:
                    waiting = True
                    self._on_state(TtsState(kind="no_worker", reason=error.message, cause=error.reason))
                if error.reason in {NO_WORKER, NO_MODEL, UNKNOWN_MODEL}:
                    demand = self._router.demand(self.request.model_id)
                    await self._router.wait_changed(timeout_s=RECHECK_INTERVAL_S)
                    scaling_up = scaling_up or (demand.done() and demand.result())

    async def _open(self, choice: RoutingDecision) -> OpenSession:
        voice = self.request
        worker = self._router.worker(choice.address)
        request = tts_pb2.StartSessionRequest(
            model_id=choice.model_id,
            voice="" if choice.fallback else voice.voice,
            language="" if choice.fallback else voice.language,
            speed=voice.speed,
            segmentation=SEGMENTATIONS[voice.segmentation],
            credit_flow_control=True,
            markup=MARKUPS[voice.markup],
            emoji=EMOJIS[voice.emoji],
            normalise=NORMALISES[voice.normalise],
            pacing=self._pacing,
        )
        try:
            session = await worker.begin(request)
        except VoiceplaneError as error:
            if error.code in REROUTED_CODES:
                # This opens the worker's circuit breaker, so the next choice is another worker.
                worker.failed(full=error.code is grpc.StatusCode.RESOURCE_EXHAUSTED)
            raise
        info = session.info
        _log.info("worker_session", session_id=self._key, address=choice.address, worker_session_id=info.session_id)
        self._on_state(
            TtsState(
                kind="fallback" if choice.fallback else "ready",
                model_id=info.model_id,
                voice=info.voice,
                language=info.language,
                reason=choice.reason,
            )
        )
        return OpenSession(
            worker=worker, address=choice.address, session=session, request=voice, fallback=choice.fallback
        )

    def _end_in_background(self, opened: OpenSession) -> None:
        """End a session without waiting for the answer: a worker that hangs would block the conversation."""
        task = asyncio.create_task(self._end(opened))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, opened: OpenSession) -> None:
        try:
            await opened.worker.end(opened.session)
        except VoiceplaneError as error:  # the worker ends it by its idle timeout
            _log.warning("session_not_ended", session_id=self._key, address=opened.address, reason=error.reason)
