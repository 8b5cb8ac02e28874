"""A conversation between a user and the agent: audio input, turn machine, ASR, replies and speech output.

Everything that happens (audio, transcripts, playout, commands, timers) passes through one event queue, so that the turn
machine processes it in one order and its actions are performed in that order. The module knows no transport.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from voiceplane_common import tracing
from voiceplane_common.logs import get_logger
from voiceplane_speech_input.asr.partial_recognizer import PartialRecognizer
from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ, to_pcm
from voiceplane_speech_input.turns.actions import (
    AcceptTurn,
    BeginTurn,
    DiscardTurn,
    EndTurn,
    PauseSpeech,
    RequestPartial,
    RespeakInterrupted,
    ResumeSpeech,
    StopSpeech,
    TurnAction,
)
from voiceplane_speech_input.turns.events import AgentSpeechEnded, AgentSpeechStarted, PartialTranscript, TurnTranscript
from voiceplane_speech_input.turns.turn_machine import AgentState, TurnMachine
from voiceplane_speech_input.vad.events import SpeechEnded, SpeechStarted
from voiceplane_speech_input.vad.silero import WINDOW_SAMPLES

from voiceplane_orchestrator.replies.base import ChatMessage
from voiceplane_orchestrator.sessions.event_queue import EventQueue
from voiceplane_orchestrator.sessions.events import Latency, Partial, State, StateName, Transcript
from voiceplane_orchestrator.sessions.respeak import unheard_from_sentence
from voiceplane_orchestrator.sessions.speech_output import SpeechOutput
from voiceplane_orchestrator.sessions.text_stream import check_text_length, single_chunk
from voiceplane_orchestrator.sessions.turn_spans import TurnSpans

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock
    from voiceplane_speech_input.asr.recognizer import RecognitionResult, Recognizer
    from voiceplane_speech_input.audio_input import AudioInput
    from voiceplane_speech_input.turns.events import TurnEvent
    from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection

    from voiceplane_orchestrator.metrics import Metrics
    from voiceplane_orchestrator.replies.base import Replier
    from voiceplane_orchestrator.sessions.events import SessionEvent
    from voiceplane_orchestrator.sessions.output_transport import OutputTransport
    from voiceplane_orchestrator.sessions.retention import Retention
    from voiceplane_orchestrator.sessions.utterance import ActiveVoice, AgentUtterance
    from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection
    from voiceplane_orchestrator.tts.base import Tts

_log = get_logger("conversation")


class Conversation:
    """One user and one agent. run() does the work; close() frees everything, also if run() never ran."""

    def __init__(
        self,
        *,
        session_id: str,
        output: OutputTransport,
        audio_input: AudioInput,
        recognizer: Recognizer,
        replier: Replier,
        tts: Tts,
        selection: VoiceSelection,
        interruptions: InterruptionsSection,
        endpointing: EndpointingSection,
        max_text_chars: int,
        metrics: Metrics,
        retention: Retention,
        clock: Clock,
    ) -> None:
        """Assemble a conversation; it owns the TTS from now on."""
        self.selection = selection
        self._session_id = session_id
        self._output = output
        self._audio_input = audio_input
        self._recognizer = recognizer
        self._replier = replier
        self._max_text_chars = max_text_chars
        self._metrics = metrics
        self._retention = retention
        self._clock = clock
        self._turn_spans = TurnSpans(session_id=session_id, clock=clock)
        self._machine = TurnMachine(
            interruptions=interruptions, endpointing=endpointing, language=selection.language or "en"
        )
        self._speech_output = SpeechOutput(
            session_id=session_id,
            tts=tts,
            output=output,
            metrics=metrics,
            clock=clock,
            retention=retention,
            follow_playout=True,
            on_started=self._agent_started,
            on_ended=self._agent_ended,
        )
        self._partial_recognizer = PartialRecognizer(recognizer=recognizer, on_transcript=self._on_partial)
        self._events = EventQueue(clock)
        self._recognizing: dict[int, asyncio.Task[None]] = {}
        self._history: list[tuple[int, ChatMessage]] = []  # with the turn's number; 0 for the agent
        self._interrupted: AgentUtterance | None = None
        self._user_quiet_since_s = clock.now()
        self._state = State(state="listening")
        self._outage: State | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def epoch(self) -> int:
        """The generation epoch."""
        return self._speech_output.epoch

    @property
    def history(self) -> list[ChatMessage]:
        """The messages so far: what the user said, and what the user heard."""
        return [message for _, message in self._history]

    # ---------------------------------------------------------------- for the transport

    async def run(self) -> None:
        """Converse until cancelled, or until the client is gone, which raises ConnectionError."""
        await self._output.send_event(self._state)
        while True:
            step = await self._events.next(self._machine.deadline_s)
            if callable(step.item):
                await step.item()
            elif step.epoch is None or step.epoch == self._speech_output.epoch:
                await self._handle(step.item, at_s=step.at_s)
            await self._send_state()

    async def wait_idle(self) -> None:
        """Return when nothing is being spoken, recognized or answered."""
        await self._idle.wait()

    def push_audio(self, pcm: bytes) -> None:
        """Take the next of the user's audio: s16le mono PCM at the sample rate of the audio input."""
        at_s = self._clock.now()
        for event in self._audio_input.push(pcm):
            self._events.put(event, at_s=at_s)

    def playout(self, *, utterance: int, media_time_samples: int) -> None:
        """Note the client's playout report, in samples of 48 kHz."""
        self._speech_output.heard(utterance=utterance, media_time_samples=media_time_samples)

    def say(self, text: str) -> None:
        """Speak a text without a turn of the user; an utterance in progress is stopped.

        Raises:
            VoiceplaneError: The text is too long.
        """
        check_text_length(text, max_chars=self._max_text_chars)
        since_s = self._clock.now()

        async def command() -> None:
            await self._stop_speaking()
            await self._speech_output.start(single_chunk(text), since_s=since_s)

        self._events.put(command)

    def interrupt(self) -> None:
        """Stop the current speech."""
        self._events.put(self._stop_speaking)

    def select(self, selection: VoiceSelection) -> None:
        """Use another voice from the next utterance on."""
        self.selection = selection
        self._speech_output.select(selection.request())

    def set_active_voice(self, active_voice: ActiveVoice) -> None:
        """A session on a worker was opened with this voice."""
        self._speech_output.active_voice = active_voice

    def set_outage(self, outage: State | None) -> None:
        """Set or clear the state that reports that no worker is available."""
        self._outage = outage
        self._events.put(_no_op)  # the state is sent after each event

    def send_event(self, event: SessionEvent) -> None:
        """Send an event to the client, in order."""
        self._events.put(lambda: self._output.send_event(event))

    async def close(self) -> None:
        """End all work."""
        await self._partial_recognizer.cancel()
        for turn_id in list(self._recognizing):
            await self._forget_recognition(turn_id)
        await self._speech_output.close()
        self._turn_spans.close()

    # ---------------------------------------------------------------- events and actions

    async def _handle(self, event: TurnEvent, *, at_s: float) -> None:
        if isinstance(event, SpeechEnded):
            self._user_quiet_since_s = at_s - (event.through_sample - event.end_sample) / USER_SAMPLE_RATE_HZ
        for action in self._machine.handle(event, at_s=at_s):
            await self._perform(action)
            if isinstance(action, PauseSpeech) and isinstance(event, SpeechStarted):
                await self._send_barge_in_latency(at_s)

    async def _perform(self, action: TurnAction) -> None:
        match action:
            case PauseSpeech():
                await self._speech_output.pause()
            case ResumeSpeech():
                self._metrics.barge_ins.labels("resumed").inc()
                await self._speech_output.resume()
            case StopSpeech():
                self._metrics.barge_ins.labels("stopped").inc()
                await self._speech_output.stop()
            case RespeakInterrupted():
                await self._respeak()
            case RequestPartial():
                samples = self._audio_input.read(action.onset_sample, action.end_sample)
                self._partial_recognizer.ask(action, samples, language=self._language)
            case _:
                await self._perform_turn_action(action)

    async def _perform_turn_action(self, action: TurnAction) -> None:
        match action:
            case BeginTurn(turn_id=turn_id, continues=replaced):
                self._turn_spans.begin(turn_id)
                if replaced is not None:
                    await self._forget_turn(replaced)
                    replacement = Transcript(role="user", turn=turn_id, text="", final=False, replaces=replaced)
                    await self._output.send_event(replacement)
            case EndTurn():
                running = await self._partial_recognizer.end(action)
                self._recognizing[action.turn_id] = asyncio.create_task(
                    self._recognize(action, running), name="asr-turn"
                )
            case DiscardTurn(turn_id=turn_id):
                self._metrics.turns_discarded.labels(action.reason.value).inc()
                self._turn_spans.forget(turn_id, result=action.reason.value)
                await self._partial_recognizer.cancel()
                await self._forget_turn(turn_id)
            case AcceptTurn():
                await self._answer(action)

    # ---------------------------------------------------------------- recognition

    @property
    def _language(self) -> str | None:
        return self.selection.language or None

    def _on_partial(self, request: RequestPartial, result: RecognitionResult) -> None:
        event = PartialTranscript(turn_id=request.turn_id, text=result.text, through_sample=request.end_sample)

        async def command() -> None:
            if self._machine.in_turn and result.text:
                await self._output.send_event(Partial(turn=request.turn_id, text=result.text))

        self._events.put(event)
        self._events.put(command)

    async def _recognize(self, turn: EndTurn, running: asyncio.Task[RecognitionResult] | None) -> None:
        began_s = self._clock.now()
        waited_s = max(0.0, began_s - self._user_quiet_since_s)
        samples = self._audio_input.read(turn.onset_sample, turn.end_sample)
        text = turn.complete_partial
        with self._turn_spans.recognize(turn.turn_id, quiet_since_s=began_s - waited_s):
            if text is None:
                try:
                    text = (await (running or self._recognizer.transcribe(samples, language=self._language))).text
                except Exception as error:  # a turn without words: the session continues
                    text = ""
                    await self._speech_output.fail(error)
        took_s = self._clock.now() - began_s
        self._metrics.endpointing.observe(waited_s)
        self._metrics.asr.observe(took_s)
        await self._output.send_event(
            Latency(turn=turn.turn_id, endpointing_ms=round(waited_s * 1000, 1), asr_ms=round(took_s * 1000, 1))
        )
        self._events.put(TurnTranscript(turn_id=turn.turn_id, text=text))
        if self._retention.enabled:
            await self._retention.save(
                session_id=self._session_id,
                name=f"user-{turn.turn_id}",
                pcm=to_pcm(samples),
                sample_rate_hz=USER_SAMPLE_RATE_HZ,
            )
            self._events.put(_no_op)  # the turn's work ends only now

    async def _forget_turn(self, turn_id: int) -> None:
        await self._forget_recognition(turn_id)
        self._turn_spans.forget(turn_id, result="taken_back")
        self._history = [(turn, message) for turn, message in self._history if turn != turn_id]

    async def _forget_recognition(self, turn_id: int) -> None:
        task = self._recognizing.pop(turn_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # ---------------------------------------------------------------- replies

    async def _answer(self, turn: AcceptTurn) -> None:
        self._recognizing = {number: task for number, task in self._recognizing.items() if not task.done()}
        self._metrics.turns.inc()
        span = self._turn_spans.take(turn.turn_id)
        with tracing.use_span(span or tracing.NOOP_SPAN):
            _log.info("turn", session_id=self._session_id, turn=turn.turn_id, text=turn.text)
        self._history.append((turn.turn_id, ChatMessage(role="user", text=turn.text)))
        await self._output.send_event(Transcript(role="user", turn=turn.turn_id, text=turn.text))
        reply = self._replier.reply(self.history, language=self.selection.language)
        await self._speech_output.start(reply, since_s=self._user_quiet_since_s, after="speech", span=span)

    async def _respeak(self) -> None:
        interrupted, self._interrupted = self._interrupted, None
        rest = unheard_from_sentence(interrupted.text, interrupted.heard_text) if interrupted else ""
        if rest:
            await self._speech_output.start(single_chunk(rest), since_s=self._clock.now())
        else:
            await self._handle(AgentSpeechEnded(), at_s=self._clock.now())

    async def _stop_speaking(self) -> None:
        """Stop the current speech by a command, not by voice."""
        await self._speech_output.stop()
        await self._handle(AgentSpeechEnded(), at_s=self._clock.now())

    def _agent_started(self, utterance: AgentUtterance) -> None:
        self._events.put(AgentSpeechStarted(), epoch=utterance.epoch)

    def _agent_ended(self, utterance: AgentUtterance) -> None:
        if utterance.heard_text:
            self._history.append((0, ChatMessage(role="assistant", text=utterance.heard_text)))
        if utterance.result == "interrupted":
            self._interrupted = utterance
        else:
            self._events.put(AgentSpeechEnded(), epoch=utterance.epoch)

    # ---------------------------------------------------------------- state and latency

    async def _send_barge_in_latency(self, at_s: float) -> None:
        took_s = WINDOW_SAMPLES / USER_SAMPLE_RATE_HZ + self._clock.now() - at_s
        self._metrics.barge_in.observe(took_s)
        await self._output.send_event(Latency(barge_in_ms=round(took_s * 1000, 1)))

    async def _send_state(self) -> None:
        name = self._state_name()
        if name == "listening" and not self._speech_output.busy:
            self._idle.set()
        else:
            self._idle.clear()
        state = self._outage or State(state=name)
        if state != self._state:
            self._state = state
            await self._output.send_event(state)

    def _state_name(self) -> StateName:
        if self._speech_output.paused:
            return "paused"
        if self._machine.agent is AgentState.SPEAKING:
            return "speaking"
        recognizing = any(not task.done() for task in self._recognizing.values())
        if self._machine.agent is AgentState.THINKING or recognizing:
            return "thinking"
        return "listening"


async def _no_op() -> None:
    """An event that only lets the state be sent."""
