"""What holds for the turn machine whatever happens, in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
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
from voiceplane_speech_input.turns.events import (
    AgentSpeechEnded,
    AgentSpeechStarted,
    PartialTranscript,
    Tick,
    TurnEvent,
    TurnTranscript,
)
from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection
from voiceplane_speech_input.turns.turn_machine import AgentState, TurnMachine
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted

WINDOW_MS = 32
END_SILENCE_MS = 160
LONGEST_GAP_MS = EndpointingSection().unfinished_silence_ms + END_SILENCE_MS + WINDOW_MS
TEXTS = st.sampled_from(["", "Yeah.", "uh-huh", "Stop.", "I would like to", "What time is it?"])


class Floor(RuleBasedStateMachine):
    """A user, an agent and a session around a turn machine."""

    @initialize(
        allow=st.booleans(),
        backchannel_max_ms=st.sampled_from([0, 600]),
        respeak=st.booleans(),
        max_turn_ms=st.sampled_from([1000, 30_000]),
    )
    def begin(self, *, allow: bool, backchannel_max_ms: int, respeak: bool, max_turn_ms: int) -> None:
        self.interruptions = InterruptionsSection(
            allow=allow, backchannel_max_ms=backchannel_max_ms, respeak=respeak, partial_interval_ms=200
        )
        self.machine = TurnMachine(
            interruptions=self.interruptions, endpointing=EndpointingSection(max_turn_ms=max_turn_ms), language="en"
        )
        self.max_turn_ms = max_turn_ms
        self.now_ms = 0
        self.sample = 0
        self.speaking = False
        self.voiced_ms = 0
        self.speech_end = 0
        self.paused = False
        self.open: BeginTurn | None = None
        self.ended: dict[int, EndTurn] = {}  # waiting for their transcripts
        self.requests: list[RequestPartial] = []
        self.last_turn_id = 0
        self.onset = 0  # of the user's speech
        self.confirmed: list[tuple[int, int]] = []  # speech that must be in turns
        self.turns: list[tuple[int, int]] = []  # audio that was in turns

    # ------------------------------------------------------------ what may happen

    @precondition(lambda self: not self.speaking)
    @rule(gap_ms=st.integers(0, 1500))
    def user_starts(self, gap_ms: int) -> None:
        self.wait(gap_ms)
        self.speaking = True
        self.voiced_ms = WINDOW_MS
        self.onset = max(self.speech_end, self.sample - 300 * 16)
        self.audio(WINDOW_MS)
        self.feed(SpeechStarted(onset_sample=self.onset, through_sample=self.sample))
        self.feed(SpeechContinues(voiced_ms=self.voiced_ms, through_sample=self.sample))

    @precondition(lambda self: self.speaking)
    @rule(windows=st.integers(1, 30), certain=st.booleans())
    def user_goes_on(self, windows: int, *, certain: bool) -> None:
        for _ in range(windows):
            self.audio(WINDOW_MS)
            self.voiced_ms += WINDOW_MS if certain else 0
            self.feed(SpeechContinues(voiced_ms=self.voiced_ms, through_sample=self.sample))
            if self.interruptions.allow and self.voiced_ms >= self.interruptions.confirm_ms:
                assert self.open is not None, "confirmed speech is a turn at once"
                self.confirmed.append((self.onset, self.sample))

    @precondition(lambda self: self.speaking)
    @rule()
    def user_ends(self) -> None:
        self.speech_end = self.sample
        self.audio(END_SILENCE_MS)
        self.speaking = False
        self.feed(SpeechEnded(end_sample=self.speech_end, through_sample=self.sample))

    @rule(ms=st.integers(1, 3000))
    def time_passes(self, ms: int) -> None:
        self.wait(ms)

    @precondition(lambda self: self.requests)
    @rule(text=TEXTS, data=st.data())
    def a_partial_comes(self, text: str, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        self.feed(PartialTranscript(turn_id=request.turn_id, text=text, through_sample=request.end_sample))

    @precondition(lambda self: self.ended)
    @rule(text=TEXTS, data=st.data())
    def a_transcript_comes(self, text: str, data: st.DataObject) -> None:
        turn_id = data.draw(st.sampled_from(sorted(self.ended)))
        del self.ended[turn_id]
        self.feed(TurnTranscript(turn_id=turn_id, text=text))

    @rule()
    def the_agent_starts(self) -> None:
        self.feed(AgentSpeechStarted())

    @precondition(lambda self: self.machine.agent is not AgentState.LISTENING)
    @rule()
    def the_agent_ends(self) -> None:
        self.feed(AgentSpeechEnded())

    # ------------------------------------------------------------ what must hold

    @invariant()
    def the_machine_knows_what_it_has_asked_for(self) -> None:
        if hasattr(self, "machine"):
            assert self.machine.paused == self.paused
            assert self.machine.in_turn == (self.open is not None)

    @invariant()
    def nothing_waits_forever(self) -> None:
        """A pause or an open turn has a deadline, or waits for a transcript that the session owes."""
        if hasattr(self, "machine") and (self.paused or self.open):
            assert self.machine.deadline_s is not None or self.ended

    def teardown(self) -> None:
        """Once everybody is quiet and all is answered, no pause and no turn is left, and no word is lost."""
        if not hasattr(self, "machine"):
            return
        if self.speaking:
            self.user_ends()
        self.wait(60_000)
        while self.ended:
            turn_id = min(self.ended)
            del self.ended[turn_id]
            self.feed(TurnTranscript(turn_id=turn_id, text="Stop."))
        assert not self.paused
        assert self.open is None
        assert self.machine.deadline_s is None

        for onset, end in self.confirmed:
            assert not self.uncovered(onset, end), "some of what the user said is in no turn"

    def uncovered(self, start: int, end: int) -> bool:
        for turn_start, turn_end in sorted(self.turns):
            if turn_start <= start:
                start = max(start, turn_end)
        return start < end

    # ------------------------------------------------------------ the session

    def audio(self, ms: int) -> None:
        self.now_ms += ms
        self.sample += ms * 16

    def wait(self, ms: int) -> None:
        """Silence, or, while the user speaks, a microphone that gives nothing."""
        until_ms = self.now_ms + ms
        if not self.speaking:
            self.sample += ms * 16
        while (deadline_s := self.machine.deadline_s) is not None and deadline_s * 1000 <= until_ms:
            self.now_ms = max(self.now_ms, round(deadline_s * 1000))
            before = self.machine.deadline_s
            self.feed(Tick())
            assert self.machine.deadline_s != before, "a Tick that is due must do something"
        self.now_ms = until_ms

    def feed(self, event: TurnEvent) -> None:
        for action in self.machine.handle(event, at_s=self.now_ms / 1000):
            self.check(action)

    def check(self, action: TurnAction) -> None:  # noqa: C901  # one case for each action
        match action:
            case PauseSpeech():
                assert not self.paused
                self.paused = True
            case ResumeSpeech():
                assert self.paused, "nothing to resume: it was stopped or never paused"
                self.paused = False
            case StopSpeech():
                assert self.paused, "an agent that is stopped was silent before"
                self.paused = False
            case BeginTurn():
                assert self.open is None
                assert action.turn_id > self.last_turn_id
                if action.continues is not None:
                    taken_back = self.ended.pop(action.continues, None)
                    assert taken_back is None or action.onset_sample == taken_back.onset_sample
                elif action.onset_sample == self.sample - self.max_turn_ms * 16:
                    # What has gone on for longer than a turn may be, and was never sure to be speech, is noise.
                    self.onset = max(self.onset, action.onset_sample)
                self.last_turn_id = action.turn_id
                self.open = action
            case EndTurn():
                assert self.open is not None
                assert (action.turn_id, action.onset_sample) == (self.open.turn_id, self.open.onset_sample)
                assert action.onset_sample <= action.end_sample <= self.sample
                assert action.end_sample >= (self.sample if self.speaking else self.speech_end)
                assert action.end_sample - action.onset_sample <= (self.max_turn_ms + LONGEST_GAP_MS) * 16
                self.turns.append((action.onset_sample, action.end_sample))
                self.ended[action.turn_id] = action
                self.open = None
            case DiscardTurn():
                if self.open is not None and action.turn_id == self.open.turn_id:
                    self.turns.append((self.open.onset_sample, self.sample))
                    self.open = None
            case AcceptTurn():
                assert action.text.strip()
                assert self.open is None
            case RequestPartial():
                assert action.onset_sample < action.end_sample <= self.sample
                self.requests.append(action)
            case RespeakInterrupted():
                assert self.interruptions.respeak
                assert not self.paused


Floor.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestFloor = Floor.TestCase


def test_a_turn_is_bounded_although_it_was_undecided_for_longer() -> None:
    """Found by the properties: noise under a reply, for longer than a turn may be, that turns out to be speech."""
    floor = Floor()
    floor.begin(allow=True, backchannel_max_ms=0, respeak=False, max_turn_ms=1000)
    floor.the_agent_starts()
    floor.user_starts(gap_ms=273)
    floor.user_goes_on(windows=54, certain=False)
    floor.user_goes_on(windows=5, certain=True)
    floor.teardown()
    assert floor.turns


def test_what_was_undecided_at_the_end_of_a_reply_is_in_a_turn() -> None:
    floor = Floor()
    floor.begin(allow=True, backchannel_max_ms=0, respeak=False, max_turn_ms=1000)
    floor.the_agent_starts()
    floor.user_starts(gap_ms=263)
    floor.user_goes_on(windows=22, certain=False)
    floor.the_agent_ends()
    floor.user_goes_on(windows=5, certain=True)
    floor.teardown()
    assert floor.turns
