"""Which worker and model a session gets, and why."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.routing import score
from voiceplane_orchestrator.routing.score import choose
from voiceplane_orchestrator.routing.voice_request import VoiceRequest
from voiceplane_orchestrator.routing.worker_view import ModelView, VoiceView, WorkerView


def model(model_id: str, *, state: str = "resident", languages: tuple[str, ...] = ("en-US",), **more: Any) -> ModelView:
    voices = tuple(VoiceView(name=f"v{number}", language=language) for number, language in enumerate(languages))
    return ModelView(model_id=model_id, family="mock", state=state, voices=voices, **more)


JOE = model("joe", is_default=True)
AMY = model("amy")
AMY_ABSENT = model("amy", state="absent")
EVA = model("eva", languages=("de-DE",))


def worker(address: str, *models: ModelView, **more: Any) -> WorkerView:
    facts: dict[str, Any] = {"connected": True, "ready": True, "max_sessions": 10} | more
    return WorkerView(address=address, models=models or (JOE,), **facts)


def chosen(*workers: WorkerView, request: VoiceRequest | None = None, key: str = "s", **more: Any) -> tuple[str, str]:
    choice = choose(workers, request or VoiceRequest(), session_key=key, **more)
    return choice.address, choice.model_id


def refusal(*workers: WorkerView, request: VoiceRequest | None = None) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        choose(workers, request or VoiceRequest(), session_key="s")
    return caught.value


# ------------------------------------------------------------ what can be loaded


def test_a_model_that_can_never_be_loaded_is_refused_with_the_reason() -> None:
    never = replace(AMY_ABSENT, unloadable=True, message="its family is not installed")
    error = refusal(worker("a", JOE, never), request=VoiceRequest(model_id="amy"))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UNLOADABLE_MODEL")
    assert "not installed" in error.message
    able = worker("b", JOE, AMY_ABSENT)
    choice = choose([worker("a", JOE, never), able], VoiceRequest(model_id="amy"), session_key="s")
    assert (choice.load_on, choice.fallback) == ("b", True)


# ------------------------------------------------------------ load and latency


def test_the_least_loaded_worker_is_chosen() -> None:
    assert chosen(worker("a", sessions=5), worker("b", sessions=2), worker("c", sessions=7)) == ("b", "joe")


def test_load_is_relative_to_what_a_worker_can_take() -> None:
    assert chosen(worker("a", sessions=3, max_sessions=4), worker("b", sessions=6, max_sessions=16))[0] == "b"


def test_a_faster_worker_beats_a_slower_one_at_the_same_load() -> None:
    workers = worker("a", first_audio_p50_ms=90.0), worker("b", first_audio_p50_ms=30.0)
    assert chosen(*workers)[0] == "b"


def test_utterances_that_wait_count() -> None:
    assert chosen(worker("a", queue_depth=3), worker("b", queue_depth=1))[0] == "b"


def test_the_policy_least_loaded_ignores_latency() -> None:
    workers = worker("a", sessions=1, first_audio_p50_ms=900.0), worker("b", sessions=2, first_audio_p50_ms=10.0)
    assert chosen(*workers, policy="least_loaded")[0] == "a"
    assert chosen(*workers, policy="balanced")[0] == "b"


def test_the_reason_names_what_was_weighed() -> None:
    choice = choose([worker("a", sessions=2, queue_depth=1, first_audio_p50_ms=40.0)], VoiceRequest(), session_key="s")
    assert choice.reason == "balanced: score 105.0 (2/10 sessions, 1 queued, first audio p50 40 ms)"


# ------------------------------------------------------------ who is out of the question


@pytest.mark.parametrize(
    "out",
    [{"connected": False}, {"draining": True}, {"barred": True}, {"sessions": 10}],
    ids=lambda out: next(iter(out)),
)
def test_a_worker_that_takes_no_sessions_is_never_chosen(out: dict[str, Any]) -> None:
    assert chosen(worker("a", **out), worker("b", sessions=9, first_audio_p50_ms=900.0))[0] == "b"
    assert refusal(worker("a", **out)).reason == "NO_WORKER"


@pytest.mark.parametrize(
    ("workers", "why"),
    [
        ([], "set discovery.workers"),
        ([worker("a", connected=False)], "none of a can be reached"),
        ([worker("a", draining=True)], "shutting down"),
        ([worker("a", sessions=10), worker("b", draining=True)], "in use"),
    ],
)
def test_no_worker_is_an_error_that_says_why(workers: list[WorkerView], why: str) -> None:
    error = refusal(*workers)
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert why in error.message
    assert error.retry_after_ms


def test_a_worker_that_has_just_failed_is_avoided_unless_it_is_the_only_one() -> None:
    assert chosen(worker("a"), worker("b", sessions=9), avoid={"a"})[0] == "b"
    assert chosen(worker("a"), avoid={"a"})[0] == "a"


# ------------------------------------------------------------ capability and language


def test_only_a_worker_that_knows_the_model_is_chosen() -> None:
    workers = worker("a", JOE), worker("b", JOE, AMY, sessions=9)
    assert chosen(*workers, request=VoiceRequest(model_id="amy")) == ("b", "amy")


def test_an_unknown_model_is_refused_and_the_known_ones_named() -> None:
    error = refusal(worker("a", JOE), worker("b", AMY), request=VoiceRequest(model_id="zoe"))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
    assert "known models are amy, joe" in error.message


def test_a_model_of_a_worker_that_is_away_is_no_unknown_model() -> None:
    error = refusal(worker("a", JOE), worker("b", AMY, connected=False), request=VoiceRequest(model_id="amy"))
    assert error.code is grpc.StatusCode.UNAVAILABLE


def test_a_language_finds_a_model_that_speaks_it() -> None:
    workers = worker("a", JOE), worker("b", JOE, EVA, sessions=9)
    assert chosen(*workers, request=VoiceRequest(language="de-AT")) == ("b", "eva")
    assert chosen(*workers, request=VoiceRequest(language="en-GB")) == ("a", "joe")


def test_a_language_that_no_one_speaks_is_refused() -> None:
    error = refusal(worker("a", JOE), request=VoiceRequest(language="fi"))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_LANGUAGE")


# ------------------------------------------------------------ residency


def test_a_resident_model_beats_an_idle_worker_that_would_have_to_load_it() -> None:
    workers = worker("a", JOE, AMY_ABSENT), worker("b", JOE, AMY, sessions=9)
    choice = choose(workers, VoiceRequest(model_id="amy"), session_key="s")
    assert (choice.address, choice.model_id, choice.load_on) == ("b", "amy", "")


def test_without_prefer_resident_the_idle_worker_loads_the_model_meanwhile() -> None:
    workers = worker("a", JOE, AMY_ABSENT), worker("b", JOE, AMY, sessions=9)
    choice = choose(workers, VoiceRequest(model_id="amy"), session_key="s", prefer_resident=False)
    assert (choice.address, choice.model_id, choice.fallback) == ("b", "amy", False)
    assert (choice.load_on, choice.load_model_id) == ("a", "amy")


def test_a_model_that_is_resident_nowhere_is_loaded_while_another_one_speaks() -> None:
    workers = worker("a", JOE, AMY_ABSENT, sessions=5), worker("b", JOE, AMY_ABSENT)
    choice = choose(workers, VoiceRequest(model_id="amy"), session_key="s")
    assert (choice.model_id, choice.fallback) == ("joe", True)
    assert (choice.load_on, choice.load_model_id) == ("b", "amy")
    assert "joe speaks meanwhile" in choice.reason


def test_the_model_that_speaks_meanwhile_has_the_same_language_where_there_is_one() -> None:
    lisa = model("lisa", state="absent", languages=("de-DE",))
    choice = choose([worker("a", JOE, lisa, EVA)], VoiceRequest(model_id="lisa"), session_key="s")
    assert (choice.model_id, choice.fallback) == ("eva", True)


def test_with_nothing_resident_the_session_waits_for_its_model() -> None:
    choice = choose([worker("a", AMY_ABSENT)], VoiceRequest(model_id="amy"), session_key="s")
    assert (choice.address, choice.model_id, choice.fallback) == ("a", "amy", False)
    assert "the session waits" in choice.reason


def test_a_load_that_failed_is_tried_again_and_the_reason_told() -> None:
    broken = model("amy", state="failed", message="sha256 differs")
    choice = choose([worker("a", JOE, broken)], VoiceRequest(model_id="amy"), session_key="s")
    assert choice.load_model_id == "amy"
    assert "sha256 differs" in choice.reason


# ------------------------------------------------------------ ties

ADDRESSES = [f"w{number}:50051" for number in range(5)]


def test_equal_workers_share_the_sessions_evenly() -> None:
    workers = [worker(address) for address in ADDRESSES]
    shares = Counter(chosen(*workers, key=f"session-{number}")[0] for number in range(1000))
    assert set(shares) == set(ADDRESSES)
    assert min(shares.values()) > 150  # 200 each; three standard deviations are 38


@given(key=st.text(), order=st.permutations(ADDRESSES))
def test_a_session_gets_the_same_worker_in_whatever_order_they_are_known(key: str, order: list[str]) -> None:
    assert chosen(*map(worker, order), key=key) == chosen(*map(worker, ADDRESSES), key=key)


@given(key=st.text(), gone=st.sampled_from(ADDRESSES))
def test_a_worker_that_goes_moves_only_its_own_sessions(key: str, gone: str) -> None:
    before = chosen(*map(worker, ADDRESSES), key=key)[0]
    after = chosen(*(worker(address) for address in ADDRESSES if address != gone), key=key)[0]
    assert before in {after, gone}


@given(
    st.lists(
        st.builds(
            worker,
            st.sampled_from(ADDRESSES),
            st.sampled_from([JOE, AMY, AMY_ABSENT, EVA]),
            connected=st.booleans(),
            barred=st.booleans(),
            draining=st.booleans(),
            sessions=st.integers(0, 10),
        ),
        max_size=5,
        unique_by=lambda view: view.address,
    ),
    st.sampled_from([VoiceRequest(), VoiceRequest(model_id="amy"), VoiceRequest(language="de")]),
    st.booleans(),
)
def test_whatever_the_workers_say_a_choice_can_be_served(
    workers: list[WorkerView], request: VoiceRequest, prefer_resident: bool
) -> None:
    try:
        choice = choose(workers, request, session_key="s", prefer_resident=prefer_resident)
    except VoiceplaneError:
        return
    serving = next(view for view in workers if view.address == choice.address)
    assert serving.takes_sessions
    model_on_it = serving.model(choice.model_id)
    assert model_on_it is not None
    assert choice.fallback <= model_on_it.resident
    if choice.load_on:
        loading = next(view for view in workers if view.address == choice.load_on)
        assert loading.takes_sessions
        assert loading.model(choice.load_model_id) is not None


def test_a_full_worker_is_taken_again_when_a_session_leaves_it() -> None:
    full = worker("a", sessions=10)
    assert not full.takes_sessions
    assert replace(full, sessions=9).takes_sessions


# ------------------------------------------------------------ voices and languages


def test_a_voice_finds_the_model_that_has_it() -> None:
    two = model("two", languages=("en-US", "en-US"))
    assert chosen(worker("a"), worker("b", JOE, two), request=VoiceRequest(voice="v1")) == ("b", "two")
    assert chosen(worker("a", JOE, two), request=VoiceRequest(voice="v0")) == ("a", "joe")


def test_a_model_is_taken_where_it_has_the_voice() -> None:
    two = model("joe", languages=("en-US", "en-US"))
    workers = worker("a"), worker("b", two, sessions=5)
    assert chosen(*workers, request=VoiceRequest(model_id="joe", voice="v1"))[0] == "b"
    assert chosen(*workers, request=VoiceRequest(model_id="joe", voice="v0"))[0] == "a"


def test_a_voice_that_no_one_has_is_named_with_those_that_there_are() -> None:
    error = refusal(worker("a"), request=VoiceRequest(model_id="joe", voice="eva"))
    assert (error.reason, error.field) == ("UNKNOWN_VOICE", "voice")
    assert error.message == "the model 'joe' has no voice 'eva': known voices are v0"
    error = refusal(worker("a"), request=VoiceRequest(voice="v0", language="de"))
    assert error.message == "no model has a voice 'v0' in 'de': known voices are v0"


def test_what_a_model_says_that_it_speaks_counts_more_than_its_voices_languages() -> None:
    many = model("many", languages=("en-US",), is_default=True)
    many = replace(many, languages=("fr", "de"))
    assert chosen(worker("a", many), request=VoiceRequest(language="de-AT")) == ("a", "many")
    assert refusal(worker("a", many), request=VoiceRequest(language="en")).reason == "UNKNOWN_LANGUAGE"


# ------------------------------------------------------------ at scale


VIEWS = st.lists(
    st.builds(
        worker,
        st.sampled_from([f"10.0.0.{number}:50051" for number in range(40)]),
        st.sampled_from([JOE, AMY, AMY_ABSENT, EVA]),
        st.sampled_from([AMY, AMY_ABSENT]),
        sessions=st.integers(0, 10),
        queue_depth=st.integers(0, 2),
        first_audio_p50_ms=st.sampled_from([0.0, 30.0, 50.0, 90.0, float("nan")]),
        barred=st.booleans(),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda view: view.address,
)


@given(views=VIEWS, key=st.text(max_size=4), policy=st.sampled_from(["balanced", "least_loaded"]))
def test_to_hash_equals_only_gives_the_worker_that_hashing_all_gives(
    views: list[WorkerView], key: str, policy: score.Policy
) -> None:
    known = [view for view in views if not math.isnan(view.first_audio_p50_ms)] or views[:1]

    def cost(view: WorkerView) -> tuple[float, bytes]:
        return score.score(view, policy=policy), score._rendezvous(key, view.address)

    assert score._best(known, session_key=key, policy=policy) is min(known, key=cost)
    assert score._best(views, session_key=key, policy=policy) in views  # a worker may report nonsense


@given(views=VIEWS, avoid=st.sets(st.sampled_from([f"10.0.0.{number}:50051" for number in range(40)])))
def test_a_resident_model_is_found_by_a_manual_search(views: list[WorkerView], avoid: set[str]) -> None:
    views = [replace(view, first_audio_p50_ms=0.0) for view in views]
    open_ones = [view for view in views if view.takes_sessions and view.model("amy")]
    ready = [view for view in open_ones if view.address not in avoid] or open_ones
    resident = [view for view in ready if (amy := view.model("amy")) and amy.resident]
    if not resident:
        return
    best = min(resident, key=lambda view: (score.score(view, policy="balanced"), score._rendezvous("s", view.address)))
    assert chosen(*views, request=VoiceRequest(model_id="amy"), avoid=avoid) == (best.address, "amy")
