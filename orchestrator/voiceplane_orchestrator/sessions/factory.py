"""Creates sessions from what all of them share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
from voiceplane_common.errors import VoiceplaneError
from voiceplane_speech_input.audio_input import AudioInput

from voiceplane_orchestrator.routing.score import UNKNOWN_MODEL
from voiceplane_orchestrator.sessions.conversation import Conversation
from voiceplane_orchestrator.sessions.events import Rerouted, SessionEvent, State
from voiceplane_orchestrator.sessions.retention import Retention
from voiceplane_orchestrator.sessions.streaming_tts import StreamingTtsSession
from voiceplane_orchestrator.sessions.utterance import ActiveVoice
from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection, VoiceSelectionStore
from voiceplane_orchestrator.tts.failover_tts import FailoverTts

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_common.clock import Clock
    from voiceplane_speech_input.asr.recognizer import Recognizer
    from voiceplane_speech_input.audio_input import VoiceActivity

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.replies.base import Replier
    from voiceplane_orchestrator.routing.router import Router
    from voiceplane_orchestrator.routing.voice_request import Pacing
    from voiceplane_orchestrator.sessions.output_transport import OutputTransport
    from voiceplane_orchestrator.settings import OrchestratorSettings
    from voiceplane_orchestrator.tts.base import TtsState

SELECTION_TTL_MS = 24 * 3600 * 1000


class SessionFactory:
    """Creates sessions. One for each orchestrator.

    Attributes:
        settings: Of the orchestrator.
        metrics: Of the orchestrator.
    """

    def __init__(
        self,
        *,
        settings: OrchestratorSettings,
        router: Router,
        recognizer: Recognizer,
        replier: Replier,
        voice_activity: Callable[[], VoiceActivity],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self._router = router
        self._recognizer = recognizer
        self._replier = replier
        self._voice_activity = voice_activity
        self._clock = clock
        self._selections = VoiceSelectionStore(ttl_ms=SELECTION_TTL_MS, clock=clock)
        privacy = settings.privacy
        self._retention = Retention(privacy.retention_dir if privacy.retain_audio else None)

    async def selection(self, client_id: str, **choices: object) -> VoiceSelection:
        """A client's last voice, changed by these choices; a model that is not resident begins to load.

        Raises:
            VoiceplaneError: No worker knows the model or the voice. It is no error that no worker is available now.
        """
        known = self._selections.get(client_id) if client_id else VoiceSelection()
        selection = known.changed(**choices)  # type: ignore[arg-type]  # the message was validated
        try:
            await self._check(selection, session_key=client_id)
        except VoiceplaneError:
            # The remembered voice may have been removed since. The requested one must exist.
            selection = VoiceSelection().changed(**choices)  # type: ignore[arg-type]  # likewise
            await self._check(selection, session_key=client_id)
        return selection

    async def _check(self, selection: VoiceSelection, *, session_key: str) -> None:
        try:
            self._router.choose(selection.request(), session_key=session_key)
        except VoiceplaneError as error:
            if error.code is grpc.StatusCode.UNAVAILABLE:
                return
            if error.reason == UNKNOWN_MODEL and await self._router.is_scaling_up(selection.model):
                return
            raise

    def remember(self, client_id: str, selection: VoiceSelection) -> None:
        """Keep a client's voice for its next session."""
        self._selections.put(client_id, selection)

    def ready(self, *, session_id: str, client_id: str, selection: VoiceSelection) -> str:
        """The ready event, as JSON."""
        limits = self.settings.limits
        return json.dumps(
            {
                "type": "ready",
                "version": 1,
                "session_id": session_id,
                "client_id": client_id,
                "epoch": 1,
                "model": selection.model,
                "voice": selection.voice,
                "language": selection.language,
                "audio": {"sample_rate_hz": 48_000, "frame_ms": 20, "encoding": "s16le"},
                "limits": {
                    "max_text_chars": limits.max_text_chars,
                    "max_message_bytes": 64 * 1024,
                    "idle_timeout_ms": limits.idle_timeout_ms,
                },
            }
        )

    def tts(
        self,
        *,
        session_id: str,
        selection: VoiceSelection,
        on_state: Callable[[TtsState], None] = lambda _: None,
        pacing: Pacing = "realtime",
    ) -> FailoverTts:
        """A TTS that is not open yet."""
        return FailoverTts(
            router=self._router,
            request=selection.request(),
            session_key=session_id,
            recovery_timeout_s=self.settings.routing.recovery_timeout_ms / 1000,
            on_state=on_state,
            pacing=pacing,
        )

    def conversation(
        self, *, session_id: str, output: OutputTransport, selection: VoiceSelection, sample_rate_hz: int
    ) -> Conversation:
        """A conversation; the caller must run() and close() it."""
        settings = self.settings
        relay = _TtsStateRelay(self.metrics)
        conversation = Conversation(
            session_id=session_id,
            output=output,
            audio_input=AudioInput(
                sample_rate_hz=sample_rate_hz,
                voice_activity=self._voice_activity(),
                vad=settings.vad,
                endpointing=settings.endpointing,
            ),
            recognizer=self._recognizer,
            replier=self._replier,
            tts=self.tts(session_id=session_id, selection=selection, on_state=relay.forward),
            selection=selection,
            interruptions=settings.interruptions,
            endpointing=settings.endpointing,
            max_text_chars=settings.limits.max_text_chars,
            metrics=self.metrics,
            retention=self._retention,
            clock=self._clock,
        )
        relay.session = conversation
        return conversation

    def streaming_tts(
        self,
        *,
        session_id: str,
        output: OutputTransport,
        selection: VoiceSelection,
        pacing: Pacing = "realtime",
    ) -> StreamingTtsSession:
        """A streaming TTS session; the caller must run() and close() it."""
        relay = _TtsStateRelay(self.metrics)
        session = StreamingTtsSession(
            session_id=session_id,
            output=output,
            tts=self.tts(session_id=session_id, selection=selection, on_state=relay.forward, pacing=pacing),
            selection=selection,
            max_text_chars=self.settings.limits.max_text_chars,
            metrics=self.metrics,
            retention=self._retention,
            clock=self._clock,
        )
        relay.session = session
        return session


class _TtsStateRelay:
    """Forwards the TTS' changes to its session. The session needs the TTS first, so it is set later."""

    def __init__(self, metrics: Metrics) -> None:
        self.session: Conversation | StreamingTtsSession | None = None
        self._metrics = metrics

    def forward(self, state: TtsState) -> None:
        session = self.session
        if session is None:
            return
        if state.kind == "no_worker":
            self._metrics.no_worker.inc()
            session.set_outage(State(state="no_worker", reason=state.reason, retry_after_ms=1000))
        elif state.kind == "rerouted":
            self._metrics.reroutes.labels(state.cause).inc()
            event: SessionEvent = Rerouted(reason=state.reason)
            session.send_event(event)
        else:
            fallback = state.kind == "fallback"
            self._metrics.fallbacks.inc(int(fallback))
            session.set_active_voice(
                ActiveVoice(model=state.model_id, voice=state.voice, fallback=fallback, reason=state.reason)
            )
            session.set_outage(None)
