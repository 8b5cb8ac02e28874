"""The turn machine: a pure state machine for turn-taking and two-phase barge-in.

It does no I/O and has no clock: each event comes with its time, and the result is a list of actions. Durations of
speech are counted in samples, so a burst of late packets is not taken for long speech. Silences are measured by the
clock, so they also end when a muted microphone sends nothing.

The agent has the floor from the acceptance of a turn until the user has heard the end of the reply. Meanwhile, speech
of the user has two phases. First it pauses the agent at once. Then one of these follows:

- The speech ends before confirm_ms. It was a cough, and the agent resumes.
- The speech reaches confirm_ms. A turn begins at the speech's onset. The agent, which is paused, is stopped as soon as
  the words interrupt it or the speech is too long for a backchannel. If there are no words, or only a backchannel, the
  turn is discarded and the agent resumes.
- A partial transcript has words. The same follows, without waiting for confirm_ms.

Speech between a turn's end and the first audio of its reply means that the turn was ended too early: the new turn takes
it back, with its audio.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
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
from voiceplane_speech_input.turns.barge_in import BargeInPolicy, discard_reason
from voiceplane_speech_input.turns.endpointing import closing_silence_ms
from voiceplane_speech_input.turns.events import (
    AgentSpeechEnded,
    AgentSpeechStarted,
    PartialTranscript,
    Tick,
    TurnEvent,
    TurnTranscript,
)
from voiceplane_speech_input.turns.user_speech import AcceptedTurn, UserSpeech
from voiceplane_speech_input.turns.words import words_of
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted

if TYPE_CHECKING:
    from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection

_SAMPLES_PER_MS = USER_SAMPLE_RATE_HZ // 1000
_ROUNDING_S = 1e-6


class AgentState(StrEnum):
    """The agent's state."""

    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class TurnMachine:
    """Decides who has the floor. One for each session; not thread-safe.

    Attributes:
        agent: The agent's state.
        paused: Whether the agent is paused: neither resumed nor stopped yet.
    """

    def __init__(
        self, *, interruptions: InterruptionsSection, endpointing: EndpointingSection, language: str = "en"
    ) -> None:
        self.agent = AgentState.LISTENING
        self.paused = False
        self._barge_in = BargeInPolicy(interruptions, language=language)
        self._endpointing = endpointing
        self._language = language
        self._turn_id = 0
        self._unclaimed_sample = 0  # where the present speech begins, as far as no turn includes it yet
        self._speech: UserSpeech | None = None
        self._ended: UserSpeech | None = None
        # Transcripts of the ended turns that form one: several after a cut; None until a transcript is known.
        self._transcripts: dict[int, str | None] = {}
        self._accepted: AcceptedTurn | None = None
        self._interrupted = False
        self._actions: list[TurnAction] = []

    @property
    def in_turn(self) -> bool:
        """Whether a turn of the user is open: begun, but neither ended nor discarded."""
        return self._speech is not None and self._speech.begun

    @property
    def deadline_s(self) -> float | None:
        """When the next Tick is due, in the time of handle(); None while no timer runs."""
        speech = self._speech
        if speech is None:
            return None
        if speech.speaking:
            return speech.progress_s + self._endpointing.stalled_ms / 1000
        return speech.quiet_since_s + self._closing_silence_ms(speech) / 1000

    def handle(self, event: TurnEvent, *, at_s: float) -> list[TurnAction]:
        """Process an event; returns the actions to perform.

        Args:
            event: What has happened. Events come in the order in which they happened.
            at_s: When, in seconds of any monotonic clock.
        """
        match event:
            case SpeechStarted():
                self._speech_started(event, at_s)
            case SpeechContinues():
                self._speech_continues(event, at_s)
            case SpeechEnded():
                self._speech_ended(event, at_s)
            case PartialTranscript():
                self._partial_transcript(event)
            case TurnTranscript():
                self._turn_transcript(event)
            case AgentSpeechStarted():
                self._agent_speech_started()
            case AgentSpeechEnded():
                self._agent_speech_ended()
            case Tick():
                pass
        self._check_deadline(at_s)
        actions, self._actions = self._actions, []
        return actions

    # ---------------------------------------------------------------- the user's voice

    def _speech_started(self, event: SpeechStarted, at_s: float) -> None:
        self._unclaimed_sample = event.onset_sample
        if self._speech is not None:  # a gap between words
            self._speech.speaking = True
            self._speech.progress_s = at_s
            self._speech.through_sample = event.through_sample
            return
        self._turn_id += 1
        self._speech = speech = UserSpeech(
            turn_id=self._turn_id,
            onset_sample=event.onset_sample,
            through_sample=event.through_sample,
            progress_s=at_s,
            requested_through_sample=event.through_sample,
        )
        if self._ended is not None:
            self._reopen(speech, self._ended)
        elif self.agent is AgentState.LISTENING:
            self._begin(speech)
        elif self.agent is AgentState.THINKING or self._barge_in.allowed:
            self._pause()

    def _speech_continues(self, event: SpeechContinues, at_s: float) -> None:
        if self._speech is None or not self._speech.speaking:  # it had stalled, and continues
            onset_sample = self._unclaimed_sample
            self._speech_started(SpeechStarted(onset_sample=onset_sample, through_sample=event.through_sample), at_s)
        speech = self._speech
        assert speech is not None  # noqa: S101  # _speech_started has set it
        speech.through_sample = event.through_sample
        speech.progress_s = at_s
        speech.voiced_ms = event.voiced_ms
        if not speech.begun and self.paused and self._barge_in.is_confirmed(speech):
            self._confirm(speech)
        if speech.begun and self.paused and self._barge_in.is_longer_than_backchannel(speech):
            self._stop()
        if speech.begun and self._is_too_long(speech.onset_sample, event.through_sample):
            self._cut(speech)
        elif self._barge_in.needs_partial(speech, through_sample=event.through_sample):
            self._request_partial(speech, event.through_sample)

    def _speech_ended(self, event: SpeechEnded, at_s: float) -> None:
        speech = self._speech
        if speech is None or not speech.speaking:  # it had stalled
            return
        speech.speaking = False
        speech.voiced_before_ms += speech.voiced_ms
        speech.voiced_ms = 0
        speech.end_sample = event.end_sample
        speech.through_sample = event.through_sample
        speech.quiet_since_s = at_s - (event.through_sample - event.end_sample) / USER_SAMPLE_RATE_HZ
        if not speech.begun and not self.paused:  # said while the agent could not be interrupted
            self._speech = None
        elif speech.begun:
            self._request_partial(speech, self._turn_end_sample(speech), complete=True)

    def _check_deadline(self, at_s: float) -> None:
        speech, deadline_s = self._speech, self.deadline_s
        if speech is None or deadline_s is None or at_s + _ROUNDING_S < deadline_s:
            return
        if speech.speaking:
            through = speech.through_sample
            self._speech_ended(SpeechEnded(end_sample=through, through_sample=through), at_s)
        elif not speech.begun:
            self._speech = None
            self._resume()
        elif self._is_false_start(speech):
            self._discard(speech, speech.partial or "")
            self._speech = None
        else:
            self._end(speech)

    def _closing_silence_ms(self, speech: UserSpeech) -> int:
        if not speech.begun or self._is_false_start(speech):
            return self._barge_in.resume_after_silence_ms
        return closing_silence_ms(speech.complete_partial(), language=self._language, settings=self._endpointing)

    def _turn_end_sample(self, speech: UserSpeech) -> int:
        end_sample = speech.end_sample + self._endpointing.post_roll_ms * _SAMPLES_PER_MS
        return max(speech.onset_sample, min(end_sample, speech.through_sample))  # a cut may have taken all of it

    def _is_too_long(self, onset_sample: int, end_sample: int) -> bool:
        return end_sample - onset_sample >= self._endpointing.max_turn_ms * _SAMPLES_PER_MS

    # ---------------------------------------------------------------- turns

    def _confirm(self, speech: UserSpeech) -> None:
        """The speech is a turn."""
        taken_back = self._accepted
        if self.agent is AgentState.THINKING:
            self._stop()
            if taken_back and not self._is_too_long(taken_back.onset_sample, speech.through_sample):
                self._interrupted = False  # the user has heard nothing of that reply
                speech.taken_back_text = taken_back.text
                self._begin(speech, continues=taken_back.turn_id, onset_sample=taken_back.onset_sample)
                return
        self._begin(speech)

    def _begin(self, speech: UserSpeech, *, continues: int | None = None, onset_sample: int | None = None) -> None:
        speech.begun = True
        longest = self._endpointing.max_turn_ms * _SAMPLES_PER_MS  # it may have lasted for a whole reply
        newest_sample = max(speech.onset_sample, speech.through_sample - longest)
        speech.onset_sample = newest_sample if onset_sample is None else onset_sample
        self._actions.append(BeginTurn(turn_id=speech.turn_id, onset_sample=speech.onset_sample, continues=continues))

    def _reopen(self, speech: UserSpeech, ended: UserSpeech) -> None:
        """Take back a turn without a transcript; if both are too long for one turn, they are accepted together."""
        self._ended = None
        if self._is_too_long(ended.onset_sample, speech.through_sample):
            self._begin(speech)
            return
        del self._transcripts[ended.turn_id]
        speech.taken_back_text = ended.taken_back_text
        self._begin(speech, continues=ended.turn_id, onset_sample=ended.onset_sample)

    def _end(self, speech: UserSpeech) -> None:
        self._speech = None
        self._ended = speech
        self._transcripts[speech.turn_id] = None
        self._unclaimed_sample = self._turn_end_sample(speech)
        self._actions.append(
            EndTurn(
                turn_id=speech.turn_id,
                onset_sample=speech.onset_sample,
                end_sample=self._unclaimed_sample,
                complete_partial=speech.complete_partial(),
            )
        )

    def _cut(self, speech: UserSpeech) -> None:
        """End a turn that is too long; the speech continues in the next one."""
        self._transcripts[speech.turn_id] = None
        cut_sample = self._unclaimed_sample = speech.through_sample
        self._actions.append(EndTurn(turn_id=speech.turn_id, onset_sample=speech.onset_sample, end_sample=cut_sample))
        self._turn_id += 1
        self._speech = replace(
            speech,
            turn_id=self._turn_id,
            onset_sample=cut_sample,
            requested_through_sample=cut_sample,
            partial=None,
            partial_through_sample=-1,
            taken_back_text="",
        )
        self._actions.append(BeginTurn(turn_id=self._turn_id, onset_sample=cut_sample))

    def _discard(self, speech: UserSpeech, text: str) -> None:
        self._actions.append(DiscardTurn(turn_id=speech.turn_id, reason=discard_reason(text)))
        if self.paused:
            self._resume()
        elif self._interrupted and self._barge_in.respeaks:
            self.agent = AgentState.THINKING
            self._actions.append(RespeakInterrupted())
        self._interrupted = False

    def _accept(self, speech: UserSpeech, text: str) -> None:
        if self.paused:
            self._stop()
        self._interrupted = False
        if self.agent is AgentState.LISTENING:
            self.agent = AgentState.THINKING
            self._accepted = AcceptedTurn(turn_id=speech.turn_id, onset_sample=speech.onset_sample, text=text)
        self._actions.append(AcceptTurn(turn_id=speech.turn_id, text=text))

    # ---------------------------------------------------------------- words

    def _request_partial(self, speech: UserSpeech, end_sample: int, *, complete: bool = False) -> None:
        undecided = not speech.begun and (not self.paused or self.agent is AgentState.THINKING)
        if undecided or end_sample <= speech.onset_sample:
            return
        speech.requested_through_sample = end_sample
        self._actions.append(
            RequestPartial(
                turn_id=speech.turn_id, onset_sample=speech.onset_sample, end_sample=end_sample, complete=complete
            )
        )

    def _partial_transcript(self, event: PartialTranscript) -> None:
        speech = self._speech
        if speech is None or speech.turn_id != event.turn_id or event.through_sample <= speech.partial_through_sample:
            return
        speech.partial = event.text
        speech.partial_through_sample = event.through_sample
        if self.paused and self._barge_in.takes_the_floor(event.text):
            self._stop()
            if not speech.begun:
                self._begin(speech)

    def _turn_transcript(self, event: TurnTranscript) -> None:
        if event.turn_id not in self._transcripts:  # the turn was taken back
            return
        self._transcripts[event.turn_id] = event.text.strip()
        ended = self._ended
        transcripts = list(self._transcripts.values())
        if ended is None or None in transcripts:
            return
        self._ended = None
        self._transcripts.clear()
        text = " ".join(transcript for transcript in transcripts if transcript) or ended.taken_back_text
        interrupting = self.paused or self._interrupted
        if self._barge_in.takes_the_floor(text) if interrupting else words_of(text):
            self._accept(ended, text)
        else:
            self._discard(ended, text)

    def _is_false_start(self, speech: UserSpeech) -> bool:
        """Whether the agent is paused for speech that turned out to be no interruption."""
        partial = speech.complete_partial()
        return self.paused and partial is not None and not self._barge_in.takes_the_floor(partial)

    # ---------------------------------------------------------------- the agent's voice

    def _agent_speech_started(self) -> None:
        self.agent = AgentState.SPEAKING
        self._accepted = None
        if self.in_turn and not self.paused and self._barge_in.allowed:
            self._pause()

    def _agent_speech_ended(self) -> None:
        if self.agent is AgentState.LISTENING:
            return
        speech, paused = self._speech, self.paused
        if paused and speech is not None and (speech.begun or speech.speaking):
            self._stop()
        elif paused:
            self._speech = None
            self._resume()
        self.agent = AgentState.LISTENING
        self._accepted = None
        self._interrupted = False
        if speech is not None and speech.speaking and not speech.begun:
            self._begin(speech)

    def _pause(self) -> None:
        self.paused = True
        self._actions.append(PauseSpeech())

    def _resume(self) -> None:
        self.paused = False
        self._actions.append(ResumeSpeech())

    def _stop(self) -> None:
        self.paused = False
        self.agent = AgentState.LISTENING
        self._accepted = None
        self._interrupted = True
        self._actions.append(StopSpeech())
