"""One worker: its reported state, and the calls that bring its models to the desired ones."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Protocol

from voiceplane_client import Snapshot, WorkerClient, watch_worker
from voiceplane_common import tracing
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger
from voiceplane_proto.v1 import tts_pb2

from voiceplane_operator.declarations import is_ours
from voiceplane_operator.workers.model_calls import LoadCall, UnloadCall, due_calls, has_failed, serves_declared
from voiceplane_operator.workers.retry import RetryState, after_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.workers.families import Families
    from voiceplane_operator.workers.model_calls import ModelCall

# UnloadModel answers after this at the latest, with the model still draining; WatchState reports its end.
UNLOAD_ANSWER_MS = 1
# Another replica of the operator may see a new VoiceModel before this one does: a model that this operator has never
# declared is unloaded only after this time.
UNKNOWN_MODEL_GRACE_S = 2.0

_RPCS = {"load": "voiceplane.v1.TTS/LoadModel", "unload": "voiceplane.v1.TTS/UnloadModel"}

Answer = tts_pb2.LoadModelResponse | tts_pb2.UnloadModelResponse

_log = get_logger("workers")


class Connect(Protocol):
    """Makes a client of an address."""

    def __call__(self, address: str) -> WorkerClient:
        """A client; the caller closes it."""
        ...


class ManagedWorker:
    """A worker for as long as its pod has an address.

    Attributes:
        name: Of its pod.
        address: "host:port".
        state: What it reported last; None while it is unreachable.
        families: The families that it can load by name, as of its last connection.
        retries: The calls that failed, by model id.
    """

    def __init__(
        self,
        *,
        name: str,
        address: str,
        changed: Callable[[frozenset[str] | None], None],
        metrics: Metrics,
        connect: Connect = WorkerClient,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            name: Of its pod.
            address: "host:port".
            changed: Called after each change of `state` or `retries`, with the ids of the models that it concerns; None
                for all.
            metrics: Counts calls.
            connect: Makes the client.
        """
        self.name = name
        self.address = address
        self.state: tts_pb2.WorkerState | None = None
        self.families: Families = {}
        self.retries: dict[str, RetryState] = {}
        self._changed = changed
        self._metrics = metrics
        self._connect = connect
        self._desired: dict[str, tts_pb2.LoadModelRequest] | None = None
        self._declared: set[str] = set()  # every model id that this operator has wanted here
        self._unknown_since: dict[str, float] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, Answer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._client: WorkerClient | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Cancel the calls, and disconnect."""
        if self._timer:
            self._timer.cancel()
        tasks = [*self._calls.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set_desired(self, desired: Mapping[str, tts_pb2.LoadModelRequest]) -> None:
        """Set the models that it must have, by model id. A declared model that is not among them is unloaded."""
        self._declared.update(desired)
        if self._desired != desired:
            self._desired = dict(desired)
        self._converge()

    def reported(self) -> dict[str, tts_pb2.ModelStatus]:
        """Its models by id; none while it is unreachable."""
        return {model.model_id: model for model in self.state.models} if self.state else {}

    @property
    def usable(self) -> bool:
        """Whether it accepts sessions."""
        return self.state is not None and self.state.ready and not self.state.draining

    async def _watch(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            self._client = client = self._connect(self.address)
            stack.push_async_callback(client.close)
            async for update in watch_worker(client):
                if isinstance(update, Snapshot):
                    self.families = {family.name: family for family in update.capabilities.families}
                    self._accept_snapshot(update.state)
                elif update.connected:
                    _log.info("worker_lost", worker=self.name, address=self.address, reason=update.reason)
                    self.state = None
                    self.retries.clear()  # its next process starts without failures
                    self._answers.clear()
                    self._changed(None)

    def _accept_snapshot(self, state: tts_pb2.WorkerState) -> None:
        if self.state is None:
            _log.info("worker_found", worker=self.name, address=self.address)
        self._answers = {model_id: each for model_id, each in self._answers.items() if each.revision > state.revision}
        before, self.state = self.state, _with_answers(state, self._answers)
        self._update_retries(self.state)
        self._changed(changed_models(before, self.state))
        self._converge_unprompted()

    def _update_retries(self, state: tts_pb2.WorkerState) -> None:
        """Back off after a load that failed, and reset the backoff after one that succeeded.

        A failure belongs to the declaration that the worker names, which an edit may have replaced in the meantime.
        """
        now = asyncio.get_running_loop().time()
        desired = self._desired or {}
        for model in state.models:
            if model.model_id not in desired or model.model_id in self._calls:
                continue
            retry = self.retries.get(model.model_id)
            known = retry is not None and retry.declaration == model.declaration
            if has_failed(model):
                if retry is None or not known or now >= retry.retry_at:
                    self.retries[model.model_id] = after_failure(retry, model.declaration, None, now=now)
            elif serves_declared(model) and model.declaration == desired[model.model_id].declaration:
                self.retries.pop(model.model_id, None)

    def _converge_unprompted(self) -> None:
        """Converge because of the worker's state or a timer: the calls belong to no reconcile's trace."""
        with tracing.use_span(tracing.NOOP_SPAN):
            self._converge()

    def _converge(self) -> None:
        if self.state is None or self.state.draining or self._desired is None:
            return
        now = asyncio.get_running_loop().time()
        reported = self.reported()
        unknown_models = self._unknown_models(reported, now=now)
        for call in due_calls(
            self._desired,
            reported,
            families=self.families,
            retries=self.retries,
            unknown_models=unknown_models,
            now=now,
        ):
            if call.model_id not in self._calls:
                task = self._calls[call.model_id] = asyncio.create_task(self._run(call))
                task.add_done_callback(functools.partial(self._call_done, call.model_id))
        retries = (each.retry_at for each in self.retries.values() if each.retry_at > now)
        self._converge_at(min((*retries, *unknown_models.values()), default=None))

    def _unknown_models(self, reported: Mapping[str, tts_pb2.ModelStatus], *, now: float) -> dict[str, float]:
        """Models that an operator has declared and this one never has, with the time at which they may be unloaded."""
        self._unknown_since = {
            model_id: self._unknown_since.get(model_id, now)
            for model_id, status in reported.items()
            if is_ours(status.declaration) and model_id not in self._declared
        }
        until = {model_id: since + UNKNOWN_MODEL_GRACE_S for model_id, since in self._unknown_since.items()}
        return {model_id: at_s for model_id, at_s in until.items() if at_s > now}

    def _converge_at(self, when: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(when + 0.01, self._converge_unprompted) if when is not None else None

    def _call_done(self, model_id: str, _: asyncio.Task[None]) -> None:
        self._calls.pop(model_id, None)
        if self._task and not self._task.done():
            if self.state is not None:
                self._update_retries(self.state)  # the failure may have been reported before the call's answer
            self._changed(frozenset({model_id}))
            self._converge_unprompted()

    async def _run(self, call: ModelCall) -> None:
        """Make one call. It never waits for a load: WatchState reports the progress."""
        client = self._client
        if client is None:
            return
        kind = "load" if isinstance(call, LoadCall) else "unload"
        outcome = "ok"
        began_s = asyncio.get_running_loop().time()
        try:
            with tracing.child_span_or_new_trace(_RPCS[kind], kind="client", worker=self.name, model=call.model_id):
                answer = await _answer_of(client, call)
            if kind == "unload":
                self.retries.pop(call.model_id, None)
            self._accept_answer(call.model_id, answer)
        except VoiceplaneError as error:
            outcome = error.reason or "error"
            declaration = call.request.declaration if isinstance(call, LoadCall) else ""
            now = asyncio.get_running_loop().time()
            self.retries[call.model_id] = after_failure(self.retries.get(call.model_id), declaration, error, now=now)
            _log.warning("model_call_failed", worker=self.name, call=kind, model_id=call.model_id, reason=error.reason)
        self._metrics.model_calls.labels(call=kind, outcome=outcome).inc()
        took_s = asyncio.get_running_loop().time() - began_s
        self._metrics.model_call_seconds.labels(call=kind).observe(took_s)

    def _accept_answer(self, model_id: str, answer: Answer) -> None:
        """Update the state from a call's answer, so that the call is not made twice.

        The stream may deliver the same change later, and before that a snapshot that is older than the answer.
        """
        if self.state is not None and answer.revision > self.state.revision:
            self._answers[model_id] = answer
            self.state = _with_answers(self.state, self._answers)


async def _answer_of(client: WorkerClient, call: ModelCall) -> Answer:
    if isinstance(call, UnloadCall):
        return await client.unload_model(call.model_id, drain_timeout_ms=UNLOAD_ANSWER_MS)
    request = tts_pb2.LoadModelRequest()
    request.CopyFrom(call.request)
    request.no_wait = True
    return await client.load_model(request)


def _with_answers(snapshot: tts_pb2.WorkerState, answers: Mapping[str, Answer]) -> tts_pb2.WorkerState:
    """A snapshot with the models of later answers; its revision stays."""
    if not answers:
        return snapshot
    state = tts_pb2.WorkerState()
    state.CopyFrom(snapshot)
    del state.models[:]
    state.models.extend(model for model in snapshot.models if model.model_id not in answers)
    state.models.extend(answer.model for answer in answers.values())
    return state


def changed_models(before: tts_pb2.WorkerState | None, after: tts_pb2.WorkerState) -> frozenset[str] | None:
    """The ids of the models that differ between two snapshots; None for all, if the worker itself has changed."""
    if before is None or (before.ready, before.draining) != (after.ready, after.draining):
        return None
    old = {model.model_id: model for model in before.models}
    new = {model.model_id: model for model in after.models}
    return frozenset(model_id for model_id in old.keys() | new.keys() if old.get(model_id) != new.get(model_id))
