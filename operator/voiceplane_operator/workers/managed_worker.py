"""One worker: what it reports, at once, and what it is asked for until it is as it should be."""

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
from voiceplane_operator.workers.convergence import (
    LoadAction,
    Setback,
    UnloadAction,
    actions,
    has_failed,
    set_back,
    speaks_as_declared,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voiceplane_operator.metrics import Metrics
    from voiceplane_operator.workers.convergence import Action

# UnloadModel answers at the latest after this, with the model still draining; WatchState tells when it has gone.
UNLOAD_ANSWER_MS = 1
# A model that we never declared may be of an operator that has seen its VoiceModel sooner than we: it is given so long.
STRANGER_S = 2.0

_RPCS = {"load": "voiceplane.v1.TTS/LoadModel", "unload": "voiceplane.v1.TTS/UnloadModel"}

Answer = tts_pb2.LoadModelResponse | tts_pb2.UnloadModelResponse

_log = get_logger("workers")


class Connect(Protocol):
    """Makes a client of an address."""

    def __call__(self, address: str) -> WorkerClient:
        """A client; the link closes it."""
        ...


class ManagedWorker:
    """A connection to one worker for as long as its pod lives.

    Attributes:
        name: Of its pod.
        address: "host:port".
        state: What it reported last; None while it is out of reach.
        families: The families that it can load.
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
            changed: Called after each change of `state` or `setbacks`, with the ids of the models that it is about;
                None for all.
            metrics: Counts calls.
            connect: Makes the client.
        """
        self.name = name
        self.address = address
        self.state: tts_pb2.WorkerState | None = None
        self.families: frozenset[str] = frozenset()
        self.setbacks: dict[str, Setback] = {}
        self._changed = changed
        self._metrics = metrics
        self._connect = connect
        self._wanted: dict[str, tts_pb2.LoadModelRequest] = {}
        self._declared: set[str] = set()
        self._strange_since: dict[str, float] = {}
        self._told = False
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, Answer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._client: WorkerClient | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and keep connected."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Let go of it."""
        if self._timer:
            self._timer.cancel()
        tasks = [*self._asked.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def want(self, wanted: Mapping[str, tts_pb2.LoadModelRequest]) -> None:
        """What it is to have from now on, by model id; what was declared and is not among it goes."""
        self._told = True
        self._declared.update(wanted)
        if self._wanted != wanted:
            self._wanted = dict(wanted)
        self._converge()

    def reported(self) -> dict[str, tts_pb2.ModelStatus]:
        """Its models by id; none while it is out of reach."""
        return {model.model_id: model for model in self.state.models} if self.state else {}

    @property
    def usable(self) -> bool:
        """Whether it takes sessions."""
        return self.state is not None and self.state.ready and not self.state.draining

    async def _run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            self._client = client = self._connect(self.address)
            stack.push_async_callback(client.close)
            async for update in watch_worker(client):
                if isinstance(update, Snapshot):
                    self.families = frozenset(family.name for family in update.capabilities.families)
                    self._know(update.state)
                elif update.connected:
                    _log.info("worker_lost", worker=self.name, address=self.address, reason=update.reason)
                    self.state = None
                    self.setbacks.clear()  # its next process begins anew
                    self._answers.clear()
                    self._changed(None)

    def _know(self, state: tts_pb2.WorkerState) -> None:
        if self.state is None:
            _log.info("worker_found", worker=self.name, address=self.address)
        self._answers = {model_id: each for model_id, each in self._answers.items() if each.revision > state.revision}
        before, self.state = self.state, _with_answers(state, self._answers)
        self._note_failures(self.state)
        self._changed(news(before, self.state))
        self._go_on()

    def _note_failures(self, state: tts_pb2.WorkerState) -> None:
        """A load that failed is tried again later; one that succeeded begins anew.

        The failure is that of the declaration that the worker names, which an edit may have replaced meanwhile.
        """
        now = asyncio.get_running_loop().time()
        for model in state.models:
            if model.model_id not in self._wanted or model.model_id in self._asked:
                continue
            setback = self.setbacks.get(model.model_id)
            known = setback is not None and setback.declaration == model.declaration
            if has_failed(model):
                if setback is None or not known or now >= setback.retry_at:
                    self.setbacks[model.model_id] = set_back(setback, model.declaration, None, now=now)
            elif speaks_as_declared(model) and model.declaration == self._wanted[model.model_id].declaration:
                self.setbacks.pop(model.model_id, None)

    def _go_on(self) -> None:
        """What the worker has become, or a time that has come, is the cause: no reconcile is, not even one before."""
        with tracing.use(tracing.SILENT):
            self._converge()

    def _converge(self) -> None:
        if self.state is None or self.state.draining or not self._told:
            return
        now = asyncio.get_running_loop().time()
        reported = self.reported()
        strangers = self._strangers(reported, now=now)
        for action in actions(
            self._wanted, reported, families=self.families, setbacks=self.setbacks, strangers=strangers, now=now
        ):
            model_id = action.request.model_id if isinstance(action, LoadAction) else action.model_id
            if model_id not in self._asked:
                task = self._asked[model_id] = asyncio.create_task(self._ask(model_id, action))
                task.add_done_callback(functools.partial(self._answered, model_id))
        retries = (each.retry_at for each in self.setbacks.values() if each.retry_at > now)
        self._wake_at(min((*retries, *strangers.values()), default=None))

    def _strangers(self, reported: Mapping[str, tts_pb2.ModelStatus], *, now: float) -> dict[str, float]:
        """The models that some operator has declared and we never have, with the time at which they are to go."""
        self._strange_since = {
            model_id: self._strange_since.get(model_id, now)
            for model_id, status in reported.items()
            if is_ours(status.declaration) and model_id not in self._declared
        }
        until = {model_id: since + STRANGER_S for model_id, since in self._strange_since.items()}
        return {model_id: at_s for model_id, at_s in until.items() if at_s > now}

    def _wake_at(self, when: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when + 0.01, self._go_on) if when is not None else None

    def _answered(self, model_id: str, _: asyncio.Task[None]) -> None:
        self._asked.pop(model_id, None)
        if self._task and not self._task.done():
            if self.state is not None:
                self._note_failures(self.state)  # it may have been told before the answer
            self._changed(frozenset({model_id}))
            self._go_on()

    async def _ask(self, model_id: str, action: Action) -> None:
        """One call. It never waits for a load: WatchState tells how that goes."""
        client = self._client
        if client is None:
            return
        call = "load" if isinstance(action, LoadAction) else "unload"
        outcome = "ok"
        began_s = asyncio.get_running_loop().time()
        try:
            with tracing.part_or_whole(_RPCS[call], kind="client", worker=self.name, model=model_id):
                answer = await _answer_of(client, action)
            if call == "unload":
                self.setbacks.pop(model_id, None)
            self._accept(model_id, answer)
        except VoiceplaneError as error:
            outcome = error.reason or "error"
            declaration = action.request.declaration if isinstance(action, LoadAction) else ""
            now = asyncio.get_running_loop().time()
            self.setbacks[model_id] = set_back(self.setbacks.get(model_id), declaration, error, now=now)
            _log.warning("model_call_failed", worker=self.name, call=call, model_id=model_id, reason=error.reason)
        self._metrics.model_calls.labels(call=call, outcome=outcome).inc()
        took_s = asyncio.get_running_loop().time() - began_s
        self._metrics.model_call_seconds.labels(call=call).observe(took_s)

    def _accept(self, model_id: str, answer: Answer) -> None:
        """What a call answers is news, too, and the call must not be made twice.

        The stream may tell it later, and before that bring a snapshot that was made before the call.
        """
        if self.state is not None and answer.revision > self.state.revision:
            self._answers[model_id] = answer
            self.state = _with_answers(self.state, self._answers)


async def _answer_of(client: WorkerClient, action: Action) -> Answer:
    if isinstance(action, UnloadAction):
        return await client.unload_model(action.model_id, drain_timeout_ms=UNLOAD_ANSWER_MS)
    request = tts_pb2.LoadModelRequest()
    request.CopyFrom(action.request)
    request.no_wait = True
    return await client.load_model(request)


def _with_answers(snapshot: tts_pb2.WorkerState, answers: Mapping[str, Answer]) -> tts_pb2.WorkerState:
    """A snapshot with what later answers say of models; its revision stays."""
    if not answers:
        return snapshot
    state = tts_pb2.WorkerState()
    state.CopyFrom(snapshot)
    del state.models[:]
    state.models.extend(model for model in snapshot.models if model.model_id not in answers)
    state.models.extend(answer.model for answer in answers.values())
    return state


def news(before: tts_pb2.WorkerState | None, after: tts_pb2.WorkerState) -> frozenset[str] | None:
    """The ids of the models of which a worker says something new; None for all, since the worker itself has changed."""
    if before is None or (before.ready, before.draining) != (after.ready, after.draining):
        return None
    old = {model.model_id: model for model in before.models}
    new = {model.model_id: model for model in after.models}
    return frozenset(model_id for model_id in old.keys() | new.keys() if old.get(model_id) != new.get(model_id))
