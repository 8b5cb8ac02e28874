"""The turn machine, scenario by scenario."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import pytest
from voiceplane_speech_input.turns.actions import (
    AcceptTurn,
    BeginTurn,
    DiscardReason,
    DiscardTurn,
    EndTurn,
    PauseSpeech,
    RequestPartial,
    RespeakInterrupted,
    ResumeSpeech,
    StopSpeech,
    TurnAction,
)
from voiceplane_speech_input.turns.events import AgentSpeechEnded, AgentSpeechStarted, TurnTranscript
from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection
from voiceplane_speech_input.turns.turn_machine import AgentState

from tests.support.turn_machine_driver import PRE_ROLL_MS, WINDOW_MS, TurnMachineDriver, samples

A = TypeVar("A")


def kinds(actions: list[TurnAction]) -> list[str]:
    """Names of the actions, without requests for partials."""
    return [type(action).__name__ for action in actions if not isinstance(action, RequestPartial)]


def only(actions: list[TurnAction], kind: type[A]) -> A:
    (found,) = [action for action in actions if isinstance(action, kind)]
    return found


def answered(text: str = "What time is it?") -> TurnMachineDriver:
    """The user has asked, and the agent is answering."""
    conversation = TurnMachineDriver()
    conversation.says(1200)
    conversation.wait(1000)
    turn = only(conversation.actions, EndTurn)
    conversation.feed(TurnTranscript(turn_id=turn.turn_id, text=text))
    conversation.wait(300)
    conversation.feed(AgentSpeechStarted())
    conversation.wait(2000)
    conversation.actions.clear()
    return conversation


def speaking(**settings: object) -> TurnMachineDriver:
    """The agent speaks a greeting."""
    conversation = TurnMachineDriver(interruptions=InterruptionsSection.model_validate(settings))
    conversation.feed(AgentSpeechStarted())
    conversation.wait(2000)
    return conversation


class TestAnOrdinaryTurn:
    def test_it_begins_at_once_and_ends_after_a_silence(self) -> None:
        conversation = TurnMachineDriver()
        onset_ms = conversation.now_ms
        assert kinds(conversation.starts()) == ["BeginTurn"]
        conversation.goes_on(1000)
        end_ms = conversation.now_ms
        conversation.ends()
        assert kinds(conversation.wait(5000)) == ["EndTurn"]
        turn = only(conversation.actions, EndTurn)
        assert turn.onset_sample == samples(onset_ms - PRE_ROLL_MS)
        assert turn.end_sample == samples(end_ms + EndpointingSection().post_roll_ms)
        assert conversation.times_ms[-1] - end_ms == pytest.approx(EndpointingSection().min_silence_ms)

    def test_its_transcript_is_accepted_and_the_agent_thinks(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(1000)
        turn = only(conversation.actions, EndTurn)
        actions = conversation.feed(TurnTranscript(turn_id=turn.turn_id, text=" Hello there. "))
        assert actions == [AcceptTurn(turn_id=turn.turn_id, text="Hello there.")]
        assert conversation.machine.agent is AgentState.THINKING

    @pytest.mark.parametrize("text", ["", "  ", "...", "?!"])
    def test_without_words_it_is_discarded_and_no_one_has_the_floor(self, text: str) -> None:
        conversation = TurnMachineDriver()
        conversation.says(300)
        conversation.wait(1000)
        actions = conversation.feed(TurnTranscript(turn_id=1, text=text))
        assert actions == [DiscardTurn(turn_id=1, reason=DiscardReason.NO_WORDS)]
        assert conversation.machine.agent is AgentState.LISTENING
        assert conversation.machine.deadline_s is None

    def test_yes_is_an_answer_while_the_agent_is_quiet(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(300)
        conversation.wait(1000)
        assert kinds(conversation.feed(TurnTranscript(turn_id=1, text="Yes."))) == ["AcceptTurn"]

    def test_a_gap_between_words_does_not_end_it(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(600)
        conversation.wait(250)
        conversation.says(600)
        assert kinds(conversation.wait(5000)) == ["EndTurn"]
        assert kinds(conversation.actions) == ["BeginTurn", "EndTurn"]

    def test_partials_are_asked_for_while_it_lasts_and_when_it_pauses(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1200)
        requests = [action for action in conversation.actions if isinstance(action, RequestPartial)]
        ends_ms = [request.end_sample / 16 for request in requests]
        assert len(requests) == 3
        assert all(500 <= after - before <= 500 + WINDOW_MS for before, after in pairwise(ends_ms[:-1]))
        assert [request.complete for request in requests] == [False, False, True]
        assert {request.onset_sample for request in requests} == {only(conversation.actions, BeginTurn).onset_sample}

    def test_a_partial_that_heard_everything_may_stand_in_for_the_transcript(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.hears("Good morning.")
        conversation.wait(1000)
        assert only(conversation.actions, EndTurn).complete_partial == "Good morning."

    def test_a_partial_that_heard_only_its_beginning_may_not(self) -> None:
        conversation = TurnMachineDriver()
        conversation.starts()
        conversation.goes_on(900)
        conversation.hears("Good.")
        conversation.ends()
        conversation.wait(1000)
        assert only(conversation.actions, EndTurn).complete_partial is None

    @pytest.mark.parametrize(
        ("text", "silence_ms"), [("I am finished.", 300), ("I would like to", 1000), ("some words", 500)]
    )
    def test_its_words_decide_how_long_the_silence_must_be(self, text: str, silence_ms: int) -> None:
        conversation = TurnMachineDriver()
        conversation.starts()
        conversation.goes_on(1000)
        end_ms = conversation.now_ms
        conversation.ends()
        conversation.hears(text)
        conversation.wait(5000)
        assert kinds(conversation.actions)[-1] == "EndTurn"
        assert conversation.times_ms[-1] - end_ms == pytest.approx(silence_ms)

    def test_a_microphone_that_goes_mute_in_mid_word_ends_it(self) -> None:
        conversation = TurnMachineDriver()
        conversation.starts()
        conversation.goes_on(500)
        through_sample = samples(conversation.now_ms)
        assert kinds(conversation.wait(10_000)) == ["EndTurn"]
        assert only(conversation.actions, EndTurn).end_sample == through_sample

    def test_speech_that_goes_on_after_a_stall_is_not_lost(self) -> None:
        conversation = TurnMachineDriver()
        conversation.starts()
        conversation.goes_on(500)
        conversation.wait(10_000)
        ended = only(conversation.actions, EndTurn)
        conversation.feed(TurnTranscript(turn_id=ended.turn_id, text=""))
        conversation.actions.clear()
        conversation.goes_on(WINDOW_MS)
        assert only(conversation.actions, BeginTurn).onset_sample == ended.end_sample

    def test_one_that_grows_too_long_is_cut_and_accepted_as_a_whole(self) -> None:
        conversation = TurnMachineDriver(endpointing=EndpointingSection(max_turn_ms=3000))
        conversation.says(4000)
        conversation.wait(1000)
        assert kinds(conversation.actions) == ["BeginTurn", "EndTurn", "BeginTurn", "EndTurn"]
        first, second = [action for action in conversation.actions if isinstance(action, EndTurn)]
        assert first.end_sample == second.onset_sample
        assert conversation.feed(TurnTranscript(turn_id=first.turn_id, text="Once in a")) == []
        actions = conversation.feed(TurnTranscript(turn_id=second.turn_id, text="while."))
        assert actions == [AcceptTurn(turn_id=second.turn_id, text="Once in a while.")]

    def test_one_that_ends_just_where_it_was_cut_leaves_an_empty_rest(self) -> None:
        conversation = TurnMachineDriver(endpointing=EndpointingSection(max_turn_ms=1000, post_roll_ms=0))
        conversation.says(650)  # with its pre-roll, the silence after it reaches the limit
        conversation.wait(1000)
        first, rest = [action for action in conversation.actions if isinstance(action, EndTurn)]
        assert rest.onset_sample == rest.end_sample == first.end_sample
        conversation.feed(TurnTranscript(turn_id=first.turn_id, text="All of it."))
        actions = conversation.feed(TurnTranscript(turn_id=rest.turn_id, text=""))
        assert actions == [AcceptTurn(turn_id=rest.turn_id, text="All of it.")]


class TestATurnThatWasEndedTooEarly:
    def test_it_is_taken_back_while_its_transcript_is_awaited(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(500)
        first = only(conversation.actions, EndTurn)
        actions = conversation.starts()
        assert kinds(actions) == ["BeginTurn"]
        again = only(actions, BeginTurn)
        assert (again.continues, again.onset_sample) == (first.turn_id, first.onset_sample)
        assert conversation.feed(TurnTranscript(turn_id=first.turn_id, text="too late")) == []

    def test_it_is_taken_back_with_its_reply_while_the_agent_thinks(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(500)
        first = only(conversation.actions, EndTurn)
        conversation.feed(TurnTranscript(turn_id=first.turn_id, text="Turn off"))
        conversation.actions.clear()
        conversation.says(500)
        conversation.wait(1000)
        assert kinds(conversation.actions) == ["PauseSpeech", "StopSpeech", "BeginTurn", "EndTurn"]
        again = only(conversation.actions, EndTurn)
        assert again.onset_sample == first.onset_sample
        assert only(conversation.actions, BeginTurn).continues == first.turn_id
        actions = conversation.feed(TurnTranscript(turn_id=again.turn_id, text="Turn off the light."))
        assert actions == [AcceptTurn(turn_id=again.turn_id, text="Turn off the light.")]

    def test_its_words_survive_if_the_longer_audio_is_not_understood(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(500)
        conversation.feed(TurnTranscript(turn_id=1, text="Turn off the light"))
        conversation.says(500)
        conversation.wait(1000)
        actions = conversation.feed(TurnTranscript(turn_id=2, text=""))
        assert actions == [AcceptTurn(turn_id=2, text="Turn off the light")]

    def test_a_backchannel_after_it_is_part_of_it(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(500)
        conversation.feed(TurnTranscript(turn_id=1, text="uh-huh"))
        conversation.says(500)
        conversation.wait(1000)
        actions = conversation.feed(TurnTranscript(turn_id=2, text="Uh-huh, yeah."))
        assert actions == [AcceptTurn(turn_id=2, text="Uh-huh, yeah.")]

    def test_a_cough_while_the_agent_thinks_only_holds_the_reply_back(self) -> None:
        conversation = TurnMachineDriver()
        conversation.says(1000)
        conversation.wait(500)
        conversation.feed(TurnTranscript(turn_id=1, text="Hello"))
        conversation.actions.clear()
        conversation.says(96)
        conversation.wait(1000)
        assert kinds(conversation.actions) == ["PauseSpeech", "ResumeSpeech"]
        assert conversation.machine.agent is AgentState.THINKING

    def test_two_that_are_too_long_together_stay_two(self) -> None:
        conversation = TurnMachineDriver(endpointing=EndpointingSection(max_turn_ms=3000))
        conversation.says(2500)
        conversation.wait(500)
        assert conversation.machine.in_turn is False
        onset_ms = conversation.now_ms
        begin = only(conversation.starts(), BeginTurn)
        assert (begin.continues, begin.onset_sample) == (None, samples(onset_ms - PRE_ROLL_MS))


class TestBargeIn:
    def test_the_agent_pauses_at_the_first_window_before_any_words(self) -> None:
        conversation = speaking()
        assert kinds(conversation.starts()) == ["PauseSpeech"]

    def test_a_cough_resumes_the_agent(self) -> None:
        conversation = speaking()
        conversation.starts()
        conversation.goes_on(96)
        end_ms = conversation.now_ms
        conversation.ends()
        conversation.wait(1000)
        assert kinds(conversation.actions) == ["PauseSpeech", "ResumeSpeech"]
        assert conversation.times_ms[-1] - end_ms == pytest.approx(InterruptionsSection().resume_after_silence_ms)
        assert conversation.machine.agent is AgentState.SPEAKING

    def test_the_turn_begins_within_confirm_ms_at_its_onset(self) -> None:
        conversation = speaking()
        onset_ms = conversation.now_ms
        conversation.starts()
        conversation.goes_on(1000)
        begin = only(conversation.actions, BeginTurn)
        assert begin.onset_sample == samples(onset_ms - PRE_ROLL_MS)
        elapsed_ms = conversation.times_ms[conversation.actions.index(begin)] - onset_ms
        assert elapsed_ms < InterruptionsSection().confirm_ms + WINDOW_MS

    def test_words_stop_the_agent(self) -> None:
        conversation = speaking()
        conversation.says(400)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn"]
        assert kinds(conversation.hears("Stop.")) == ["StopSpeech"]
        conversation.wait(1000)
        assert kinds(conversation.feed(TurnTranscript(turn_id=1, text="Stop."))) == ["AcceptTurn"]

    def test_words_confirm_before_confirm_ms_does(self) -> None:
        conversation = speaking(confirm_ms=3000, backchannel_max_ms=3000)
        conversation.starts()
        conversation.goes_on(800)
        assert kinds(conversation.actions) == ["PauseSpeech"]
        assert kinds(conversation.hears("wait a moment")) == ["StopSpeech", "BeginTurn"]

    def test_speech_too_long_for_a_backchannel_stops_the_agent_without_words(self) -> None:
        conversation = speaking()
        onset_ms = conversation.now_ms
        conversation.starts()
        conversation.goes_on(1000)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "StopSpeech"]
        stopped_ms = conversation.times_ms[conversation.actions.index(StopSpeech())] - onset_ms
        assert stopped_ms < InterruptionsSection().backchannel_max_ms + WINDOW_MS

    def test_without_backchannels_every_confirmed_turn_stops_the_agent(self) -> None:
        conversation = speaking(backchannel_max_ms=0)
        onset_ms = conversation.now_ms
        conversation.starts()
        conversation.goes_on(400)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "StopSpeech"]
        stopped_ms = conversation.times_ms[conversation.actions.index(StopSpeech())] - onset_ms
        assert stopped_ms < InterruptionsSection().confirm_ms + WINDOW_MS

    @pytest.mark.parametrize("text", ["Uh-huh.", "Mhm", "Yeah, yeah.", "OK!", "Right."])
    def test_a_backchannel_resumes_the_agent(self, text: str) -> None:
        conversation = speaking()
        conversation.says(400)
        conversation.hears(text)
        conversation.wait(2000)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "DiscardTurn", "ResumeSpeech"]
        assert only(conversation.actions, DiscardTurn).reason is DiscardReason.BACKCHANNEL
        assert conversation.machine.agent is AgentState.SPEAKING

    def test_a_backchannel_that_only_the_transcript_recognizes_resumes_the_agent(self) -> None:
        conversation = speaking()
        conversation.says(400)
        conversation.wait(2000)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "EndTurn"]
        assert kinds(conversation.feed(TurnTranscript(turn_id=1, text="Yeah."))) == ["DiscardTurn", "ResumeSpeech"]

    def test_yeah_but_is_no_backchannel(self) -> None:
        conversation = speaking()
        conversation.says(400)
        conversation.hears("Yeah, but why?")
        conversation.wait(2000)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "StopSpeech", "EndTurn"]

    def test_a_backchannel_is_one_only_in_its_language(self) -> None:
        conversation = TurnMachineDriver(language="de-DE")
        conversation.feed(AgentSpeechStarted())
        conversation.says(400)
        conversation.hears("Yeah.")
        assert "StopSpeech" in kinds(conversation.actions)
        other = TurnMachineDriver(language="de-DE")
        other.feed(AgentSpeechStarted())
        other.says(400)
        other.hears("Genau.")
        other.wait(1000)
        assert kinds(other.actions)[-1] == "ResumeSpeech"

    def test_a_noise_without_words_resumes_the_agent(self) -> None:
        conversation = speaking()
        conversation.says(400)
        conversation.hears("")
        conversation.wait(2000)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "DiscardTurn", "ResumeSpeech"]
        assert only(conversation.actions, DiscardTurn).reason is DiscardReason.NO_WORDS

    def test_a_long_noise_makes_the_agent_speak_again_what_was_not_heard(self) -> None:
        conversation = speaking()
        conversation.says(1500)
        conversation.wait(2000)
        actions = conversation.feed(TurnTranscript(turn_id=1, text=""))
        assert kinds(actions) == ["DiscardTurn", "RespeakInterrupted"]
        assert conversation.machine.agent is AgentState.THINKING

    def test_the_late_end_of_a_stopped_reply_does_not_lose_what_was_not_heard(self) -> None:
        conversation = speaking()
        conversation.says(1500)
        conversation.feed(AgentSpeechEnded())
        conversation.wait(2000)
        assert RespeakInterrupted() in conversation.feed(TurnTranscript(turn_id=1, text=""))

    def test_speaking_again_can_be_switched_off(self) -> None:
        conversation = speaking(respeak=False)
        conversation.says(1500)
        conversation.wait(2000)
        assert kinds(conversation.feed(TurnTranscript(turn_id=1, text=""))) == ["DiscardTurn"]
        assert conversation.machine.agent is AgentState.LISTENING

    def test_too_few_words_do_not_take_the_floor(self) -> None:
        conversation = speaking(min_words=2)
        conversation.says(400)
        conversation.hears("Banana.")
        conversation.wait(2000)
        assert kinds(conversation.actions)[-1] == "ResumeSpeech"

    def test_a_stutter_adds_up_to_a_turn_from_its_first_sound(self) -> None:
        conversation = speaking()
        onset_ms = conversation.now_ms
        conversation.says(128)
        conversation.says(128)
        assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn"]
        assert only(conversation.actions, BeginTurn).onset_sample == samples(onset_ms - PRE_ROLL_MS)

    def test_late_packets_that_come_at_once_are_no_long_speech(self) -> None:
        conversation = speaking()
        conversation.starts()
        conversation.wait(900)  # a network gap, shorter than a stall
        conversation.goes_on(64)
        conversation.ends()
        conversation.wait(1000)
        assert kinds(conversation.actions) == ["PauseSpeech", "ResumeSpeech"]

    def test_a_microphone_that_goes_mute_in_a_barge_in_lets_the_agent_go_on(self) -> None:
        conversation = speaking()
        conversation.starts()
        conversation.wait(5000)
        assert kinds(conversation.actions) == ["PauseSpeech", "ResumeSpeech"]

    def test_an_answer_can_be_interrupted_again_and_again(self) -> None:
        conversation = answered()
        for _ in range(3):
            conversation.says(1000)
            conversation.wait(1000)
            ended = only(conversation.actions, EndTurn)
            conversation.feed(TurnTranscript(turn_id=ended.turn_id, text="No, something else."))
            conversation.feed(AgentSpeechStarted())
            assert kinds(conversation.actions) == ["PauseSpeech", "BeginTurn", "StopSpeech", "EndTurn", "AcceptTurn"]
            assert only(conversation.actions, BeginTurn).continues is None
            conversation.actions.clear()
            conversation.wait(1000)

    def test_the_agent_that_ends_while_paused_leaves_the_floor_to_the_user(self) -> None:
        conversation = speaking()
        conversation.starts()
        assert kinds(conversation.feed(AgentSpeechEnded())) == ["StopSpeech", "BeginTurn"]
        conversation.goes_on(500)
        conversation.ends()
        conversation.wait(1000)
        assert kinds(conversation.actions)[-1] == "EndTurn"

    def test_the_agent_that_ends_just_after_a_cough_is_free_to_speak_again(self) -> None:
        conversation = speaking()
        conversation.says(64)
        assert kinds(conversation.feed(AgentSpeechEnded())) == ["ResumeSpeech"]
        assert conversation.machine.deadline_s is None

    def test_an_agent_that_starts_in_an_open_turn_is_paused(self) -> None:
        conversation = TurnMachineDriver()
        conversation.starts()
        assert kinds(conversation.feed(AgentSpeechStarted())) == ["PauseSpeech"]


class TestWithoutInterruptions:
    def test_the_agent_goes_on(self) -> None:
        conversation = speaking(allow=False)
        conversation.says(1000)
        conversation.wait(1000)
        assert conversation.actions == []

    def test_speech_that_outlasts_the_agent_is_a_turn_from_its_onset(self) -> None:
        conversation = speaking(allow=False)
        onset_ms = conversation.now_ms
        conversation.starts()
        conversation.goes_on(1000)
        begin = only(conversation.feed(AgentSpeechEnded()), BeginTurn)
        assert begin.onset_sample == samples(onset_ms - PRE_ROLL_MS)

    def test_a_turn_can_still_be_taken_back_before_the_reply_begins(self) -> None:
        conversation = TurnMachineDriver(interruptions=InterruptionsSection(allow=False))
        conversation.says(1000)
        conversation.wait(500)
        conversation.feed(TurnTranscript(turn_id=1, text="Turn off"))
        conversation.actions.clear()
        conversation.says(500)
        assert kinds(conversation.actions) == ["PauseSpeech", "StopSpeech", "BeginTurn"]
        assert only(conversation.actions, BeginTurn).continues == 1

    def test_of_speech_longer_than_a_turn_the_end_is_kept(self) -> None:
        conversation = TurnMachineDriver(
            interruptions=InterruptionsSection(allow=False), endpointing=EndpointingSection(max_turn_ms=1000)
        )
        conversation.feed(AgentSpeechStarted())
        conversation.starts()
        conversation.goes_on(5000)
        begin = only(conversation.feed(AgentSpeechEnded()), BeginTurn)
        assert begin.onset_sample == samples(conversation.now_ms - 1000)


def test_respeaking_can_be_interrupted_like_any_speech() -> None:
    conversation = speaking()
    conversation.says(1500)
    conversation.wait(2000)
    actions = conversation.feed(TurnTranscript(turn_id=1, text=""))
    assert RespeakInterrupted() in actions
    conversation.feed(AgentSpeechStarted())
    conversation.actions.clear()
    conversation.says(96)
    conversation.wait(1000)
    assert conversation.actions == [PauseSpeech(), ResumeSpeech()]
