"""A simulated worker always converges, and gets no call twice or too early."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from voiceplane_operator.workers.model_calls import (
    LoadCall,
    UnloadCall,
    due_calls,
    has_failed,
    serves_declared,
)
from voiceplane_operator.workers.retry import MAX_RETRY_S, RetryState, after_failure
from voiceplane_proto.v1 import tts_pb2

IDS = ("a", "b", "c")
FAMILIES = {"mock": tts_pb2.Family(name="mock", lora=True)}
FOREIGN = "operator-of-another-kind/x"


def request(model_id: str, edition: int = 1, *, on_demand: bool = False, family: str = "mock") -> Any:
    return tts_pb2.LoadModelRequest(
        model_id=model_id,
        family=family,
        declaration=f"voiceplane.dev/voicemodel/speech/{model_id}/uid/{edition}{on_demand}",
        declare_only=on_demand,
    )


def status(model_id: str, declaration: str, state: Any, reason: str = "", *, default: bool = False) -> Any:
    return tts_pb2.ModelStatus(
        model_id=model_id, declaration=declaration, state=state, reason=reason, is_default=default
    )


class Worker(RuleBasedStateMachine):
    """A worker with three ids, whose loads take time and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: dict[str, Any] = {}
        self.models: dict[str, Any] = {"foreign": status("foreign", FOREIGN, tts_pb2.MODEL_STATE_RESIDENT)}
        self.retries: dict[str, RetryState] = {}
        self.now = 0.0

    def due(self) -> list[LoadCall | UnloadCall]:
        return list(due_calls(self.wanted, self.models, families=FAMILIES, retries=self.retries, now=self.now))

    def take(self, call: LoadCall | UnloadCall) -> None:
        if isinstance(call, UnloadCall):
            self.models[call.model_id].state = tts_pb2.MODEL_STATE_DRAINING
            self.models[call.model_id].reason = "UnloadRequested"
            return
        asked = call.request
        state = tts_pb2.MODEL_STATE_ABSENT if asked.declare_only else tts_pb2.MODEL_STATE_LOADING
        self.models[asked.model_id] = status(asked.model_id, asked.declaration, state)

    @rule(model_id=st.sampled_from(IDS), edition=st.integers(1, 3), on_demand=st.booleans())
    def declare(self, model_id: str, edition: int, on_demand: bool) -> None:
        self.wanted[model_id] = request(model_id, edition, on_demand=on_demand)

    @rule(model_id=st.sampled_from(IDS))
    def withdraw(self, model_id: str) -> None:
        self.wanted.pop(model_id, None)

    @rule(model_id=st.sampled_from(IDS), reload=st.booleans())
    def fail(self, model_id: str, reload: bool) -> None:
        model = self.models.get(model_id)
        if model and model.state == tts_pb2.MODEL_STATE_LOADING:
            model.state = tts_pb2.MODEL_STATE_RESIDENT if reload else tts_pb2.MODEL_STATE_FAILED
            model.reason = "ReloadFailed" if reload else "DigestMismatch"
            before = self.retries.get(model_id)
            self.retries[model_id] = after_failure(before, model.declaration, None, now=self.now)

    @rule(model_id=st.sampled_from(IDS))
    def finish(self, model_id: str) -> None:
        model = self.models.get(model_id)
        if model and model.state == tts_pb2.MODEL_STATE_LOADING:
            model.state = tts_pb2.MODEL_STATE_RESIDENT
            self.retries.pop(model_id, None)
        elif model and model.state == tts_pb2.MODEL_STATE_DRAINING:
            del self.models[model_id]

    @rule(model_id=st.sampled_from(IDS))
    def evict(self, model_id: str) -> None:
        model = self.models.get(model_id)
        if model and serves_declared(model):
            model.state, model.reason = tts_pb2.MODEL_STATE_ABSENT, "Evicted"

    @rule()
    def restart(self) -> None:
        self.models = {"foreign": self.models["foreign"]}
        self.retries.clear()

    @rule(seconds=st.floats(0.0, 400.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def act(self) -> None:
        for call in self.due():
            self.take(call)
        assert self.due() == [], "a call was repeated although it was accepted"

    @invariant()
    def nothing_is_asked_for_too_early_or_without_cause(self) -> None:
        for call in self.due():
            if isinstance(call, UnloadCall):
                assert call.model_id not in {*self.wanted, "foreign"}
                continue
            model_id = call.request.model_id
            retry, held = self.retries.get(model_id), self.models.get(model_id)
            assert self.wanted[model_id] == call.request
            if retry and retry.declaration == call.request.declaration:
                assert self.now >= retry.retry_at
            if held and held.declaration == call.request.declaration:
                assert has_failed(held) or held.state == tts_pb2.MODEL_STATE_DRAINING

    def teardown(self) -> None:
        for _ in range(4):
            self.now += MAX_RETRY_S
            for call in self.due():
                self.take(call)
            for model_id in IDS:
                self.finish(model_id)
        assert self.due() == []
        assert self.models.keys() == {*self.wanted, "foreign"}
        for model_id, asked in self.wanted.items():
            assert self.models[model_id].declaration == asked.declaration
            assert asked.declare_only or not has_failed(self.models[model_id])


Worker.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestWorker = Worker.TestCase


def test_no_load_is_sent_to_a_worker_that_lacks_the_family() -> None:
    desired = {"a": request("a", family="piper")}
    assert list(due_calls(desired, {}, families=FAMILIES, retries={}, now=0.0)) == []


def test_no_lora_is_sent_to_a_worker_whose_family_takes_none() -> None:
    lora = request("a")
    lora.base_model_id = "b"
    families = {"mock": tts_pb2.Family(name="mock")}
    assert list(due_calls({"a": lora}, {}, families=families, retries={}, now=0.0)) == []


def test_the_default_model_of_a_worker_is_never_unloaded() -> None:
    held = {"a": status("a", request("a").declaration, tts_pb2.MODEL_STATE_RESIDENT, default=True)}
    assert list(due_calls({}, held, families=FAMILIES, retries={}, now=0.0)) == []


def test_the_backoff_grows_to_a_limit_for_each_declaration() -> None:
    retry, waits = None, []
    for _ in range(9):
        retry = after_failure(retry, "one", None, now=100.0)
        waits.append(retry.retry_at - 100.0)
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert after_failure(retry, "two", None, now=100.0).retry_at == 105.0


def test_a_lora_is_loaded_after_its_base() -> None:
    lora = request("a")
    lora.base_model_id = "b"
    due = due_calls({"a": lora, "b": request("b")}, {}, families=FAMILIES, retries={}, now=0.0)
    assert [call.request.model_id for call in due if isinstance(call, LoadCall)] == ["b", "a"]
