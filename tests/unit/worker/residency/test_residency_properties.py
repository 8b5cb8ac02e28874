"""What holds for the model manager in every order of events, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.residency.model_manager import ModelManager
from voiceplane_worker.residency.model_spec import ModelSpec, Residency
from voiceplane_worker.residency.model_status import ModelState
from voiceplane_worker.settings import ModelManagerSection

from tests.support.clock import VirtualClock, settle
from tests.support.models import FakeCatalog, FakeLoader, FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from voiceplane_worker.residency.model_reference import ModelReference

T = TypeVar("T")
MODELS = ("default", "b", "c", "d")
CAP = 2
PARALLEL = 2
TTL_S = 60.0
MIN_RESIDENCY_S = 20.0
LIMITS = ModelManagerSection(
    default_model_id="default",
    resident_cap=CAP,
    max_parallel_loads=PARALLEL,
    ttl_ms=int(TTL_S * 1000),
    min_residency_ms=int(MIN_RESIDENCY_S * 1000),
    evict_check_interval_ms=5000,
    load_timeout_ms=10**9,
)
ANY_MODEL = st.sampled_from(MODELS)


class InlineExecutor(ThreadPoolExecutor):
    """Runs what is sent to a thread at once, so that every run of a scenario is the same."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class ManagerMachine(RuleBasedStateMachine):
    """Sessions, loads, unloads and time in any order."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(InlineExecutor())
        self.clock = VirtualClock()
        self.loader = FakeLoader()
        self.manager = ModelManager(
            settings=LIMITS,
            catalog=FakeCatalog(MODELS),  # type: ignore[arg-type]  # it is used by its shape
            loader=self.loader,
            clock=self.clock,
        )
        self.leases: list[ModelReference] = []
        self.uses: list[tuple[contextlib.ExitStack, FakeModel, str]] = []
        self.acquiring: list[asyncio.Task[ModelReference]] = []
        self.others: list[asyncio.Task[Any]] = []
        self.resident_at: dict[FakeModel, float] = {}
        self.excused: set[str] = set()  # models that a test's own call may close: unload, reload, load
        self.pinned: set[str] = set()
        self.seen_closed = 0
        self.last_use: dict[str, float] = {}
        self.starting = self.loop.create_task(self.manager.start())
        self.settle()

    def settle(self) -> None:
        self.loop.run_until_complete(settle())
        for task in [task for task in self.acquiring if task.done()]:
            self.acquiring.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.leases.append(task.result())
            elif not task.cancelled():
                assert isinstance(task.exception(), VoiceplaneError), task.exception()
        for task in [task for task in self.others if task.done()]:
            self.others.remove(task)
            if not task.cancelled() and task.exception() is not None:
                assert isinstance(task.exception(), VoiceplaneError), task.exception()
        for model in self.loader.alive:
            self.resident_at.setdefault(model, self.clock.now())
        for lease in self.leases:
            self.last_use[lease.model_id] = self.clock.now()

    def inside(self, step: Callable[[], T]) -> T:
        """Do something on the running event loop, where the manager belongs."""

        async def do() -> T:
            return step()

        return self.loop.run_until_complete(do())

    def call(self, work: Coroutine[Any, Any, Any]) -> None:
        self.others.append(self.loop.create_task(work))
        self.settle()

    # ---------------------------------------------------------------- what can happen

    @rule(model_id=ANY_MODEL)
    def acquire(self, model_id: str) -> None:
        self.acquiring.append(self.loop.create_task(self.manager.acquire(model_id)))
        self.settle()

    @precondition(lambda self: self.acquiring)
    @rule(data=st.data())
    def give_up_waiting(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.acquiring)).cancel()
        self.settle()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.leases.remove(lease)
        self.last_use[lease.model_id] = self.clock.now()
        self.inside(lease.release)
        self.settle()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def begin_use(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        stack = contextlib.ExitStack()
        model = self.inside(lambda: stack.enter_context(lease.use()).model)
        assert isinstance(model, FakeModel)
        assert not model.closed, "a closed model was handed out"
        self.uses.append((stack, model, lease.model_id))
        self.settle()

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def end_use(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(self.uses))
        self.uses.remove(use)
        self.last_use[use[2]] = self.clock.now()
        self.inside(use[0].close)
        self.settle()

    @precondition(lambda self: self.loader.pending)
    @rule(data=st.data(), succeeds=st.booleans())
    def end_load(self, data: st.DataObject, succeeds: bool) -> None:
        load = data.draw(st.sampled_from(self.loader.pending))
        (load.succeed if succeeds else load.fail)()
        self.settle()

    @rule(model_id=ANY_MODEL, pinned=st.booleans())
    def load(self, model_id: str, pinned: bool) -> None:
        residency = Residency.PINNED if pinned else Residency.ON_DEMAND
        self.pinned.discard(model_id)
        task = self.loop.create_task(self.manager.load(ModelSpec(model_id=model_id, residency=residency)))
        self.others.append(task)
        self.settle()
        refused = task.done() and task.exception() is not None  # then its rules do not hold
        if pinned and not refused:
            self.pinned.add(model_id)

    @rule(model_id=ANY_MODEL)
    def unload(self, model_id: str) -> None:
        self.excused.add(model_id)
        self.call(self.manager.unload(model_id))

    @rule(model_id=ANY_MODEL)
    def reload(self, model_id: str) -> None:
        self.excused.add(model_id)
        self.call(self.manager.reload(model_id))

    @rule(seconds=st.sampled_from([1.0, 5.0, 19.0, 21.0, 61.0, 130.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))
        self.settle()

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def no_model_is_closed_while_it_is_used(self) -> None:
        assert not [model for _, model, _ in self.uses if model.closed]

    @invariant()
    def every_lease_can_be_used(self) -> None:
        def check() -> None:
            for lease in self.leases:
                with lease.use() as loaded:
                    assert isinstance(loaded.model, FakeModel)
                    assert not loaded.model.closed

        self.inside(check)

    @invariant()
    def the_cap_holds(self) -> None:
        in_memory = {model.model_id for model in self.loader.alive} | {load.model_id for load in self.loader.pending}
        assert len(in_memory) <= CAP, in_memory

    @invariant()
    def loads_are_bounded(self) -> None:
        assert self.loader.most_at_once <= PARALLEL

    @invariant()
    def evictions_follow_the_rules(self) -> None:
        """What was closed without a request was unused, old, and neither pinned nor the default."""
        for model in self.loader.closed[self.seen_closed :]:
            born = self.resident_at.get(model)
            if model.model_id in self.excused or born is None:
                continue
            assert model.model_id != "default"
            assert model.model_id not in self.pinned
            assert model.model_id not in {lease.model_id for lease in self.leases}
            assert self.clock.now() - born >= MIN_RESIDENCY_S
        self.seen_closed = len(self.loader.closed)

    @invariant()
    def what_is_not_resident_holds_nothing(self) -> None:
        alive = {model.model_id for model in self.loader.alive}
        for status in self.manager.statuses():
            if status.state in {ModelState.ABSENT, ModelState.FAILED}:
                assert status.model_id not in alive
                assert status.memory_bytes == 0
            if status.state is ModelState.FAILED:
                assert status.reason

    @invariant()
    def references_are_the_sessions(self) -> None:
        waiting = len(self.acquiring)
        told = sum(status.references for status in self.manager.statuses())
        assert len(self.leases) <= told <= len(self.leases) + waiting

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.acquiring:
            task.cancel()
        self.settle()
        for stack, _, _ in self.uses:
            self.inside(stack.close)
        for lease in self.leases:
            self.inside(lease.release)
        closing = self.loop.create_task(self.manager.close())
        self.settle()
        for load in list(self.loader.pending):
            load.fail()
        self.settle()
        self.loop.run_until_complete(self.clock.advance(100.0))
        assert closing.done(), "close() hangs"
        closing.result()
        assert not self.loader.alive, "a model outlives its manager"
        leftover = [*self.others, self.starting]
        for task in leftover:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*leftover, return_exceptions=True))
        self.loop.close()


ManagerMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestManager = ManagerMachine.TestCase
