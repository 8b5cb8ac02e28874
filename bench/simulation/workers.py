"""A simulated worker: sessions, resident models, and what it tells of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voiceplane_orchestrator.routing.worker_view import ModelView, VoiceView, WorkerView

from bench.simulation.costs import queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.simulation.costs import Costs

VOICES = (VoiceView(name="voice", language="en-US"),)
# `worker.max_sessions`.
MAX_SESSIONS = 16
# How much a session's first utterances move the median of the last 256.
LATEST_WEIGHT = 0.1


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One worker as it is, which is not what orchestrators know of it.

    Attributes:
        address: As orchestrators call it.
        known: The models of its pool.
        costs: Of a session.
        max_sessions: More are refused.
        resident_cap: More models are not held.
        speed: Of its processor, 1 for the one that was measured.
        alive: Whether it answers.
        resident: Models, the least recently used first.
        loading: When each model that is on its way will be resident.
        users: Sessions by the model that speaks.
    """

    address: str
    known: Sequence[str]
    costs: Costs
    max_sessions: int = MAX_SESSIONS
    resident_cap: int = 3
    speed: float = 1.0
    alive: bool = True
    resident: dict[str, None] = field(default_factory=dict)
    loading: dict[str, float] = field(default_factory=dict)
    users: Counter[str] = field(default_factory=Counter)
    first_audio_ms: float = 0.0
    _models: tuple[ModelView, ...] = ()

    @property
    def sessions(self) -> int:
        """Open ones."""
        return self.users.total()

    @property
    def utilization(self) -> float:
        """Of its compute."""
        return queue(self.sessions, speed=self.speed, costs=self.costs).utilization

    def has_room(self) -> bool:
        """Whether a session would be let in."""
        return self.alive and self.sessions < self.max_sessions

    def begin(self, model_id: str) -> None:
        """A session begins."""
        self.users[model_id] += 1
        if model_id in self.resident:
            self.resident[model_id] = self.resident.pop(model_id)  # the most recently used
        now = queue(self.sessions, speed=self.speed, costs=self.costs)
        heard_ms = self.costs.first_audio_ms / self.speed + now.mean_ms
        self.first_audio_ms += (heard_ms - self.first_audio_ms) * (LATEST_WEIGHT if self.first_audio_ms else 1.0)

    def end(self, model_id: str) -> None:
        """A session ends."""
        self.users[model_id] -= 1

    def load(self, model_id: str, now_s: float) -> float | None:
        """Begin to load a model; when it will be resident, or None if nothing can make room for it.

        One load at a time, as `max_parallel_loads` is 1.
        """
        if model_id in self.resident:
            return now_s
        if model_id in self.loading:
            return self.loading[model_id]
        unused = [model for model in self.resident if not self.users[model]]
        if len(self.resident) + len(self.loading) >= self.resident_cap:
            if not unused:
                return None
            del self.resident[unused[0]]
        begins_s = max([now_s, *self.loading.values()])
        self.loading[model_id] = begins_s + self.costs.load_s / self.speed
        self._models = ()
        return self.loading[model_id]

    def loaded(self, model_id: str) -> None:
        """A load has ended."""
        if self.loading.pop(model_id, None) is not None:
            self.resident[model_id] = None
            self._models = ()

    def die(self) -> None:
        """Everything is lost."""
        self.alive = False
        self.users.clear()
        self.resident.clear()
        self.loading.clear()
        self.first_audio_ms = 0.0
        self._models = ()

    def rise(self, resident: Sequence[str]) -> None:
        """Begin again."""
        self.alive = True
        self.resident = dict.fromkeys(resident)
        self._models = ()

    def view(self, *, queue_depth: int) -> WorkerView:
        """What it tells now."""
        if not self._models:
            self._models = tuple(
                ModelView(model_id=model, family="piper", state=self._state(model), voices=VOICES)
                for model in self.known
            )
        return WorkerView(
            address=self.address,
            connected=self.alive,
            ready=self.alive,
            models=self._models,
            sessions=self.sessions,
            max_sessions=self.max_sessions,
            queue_depth=queue_depth,
            first_audio_p50_ms=self.first_audio_ms,
        )

    def _state(self, model_id: str) -> str:
        if model_id in self.resident:
            return "resident"
        return "loading" if model_id in self.loading else "absent"
