"""The VoiceModels and TTSWorkerPools as the operator last saw them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError
from voiceplane_common.clock import Clock, SystemClock
from voiceplane_common.kube.api import Key
from voiceplane_common.logs import get_logger

from voiceplane_operator.resources import Model, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_operator.declarations import Refusal
    from voiceplane_operator.metrics import Metrics

# A list, a watch event or an answer that is older than what was seen arrives within this time. An older version that
# arrives after that is not late: etcd was restored from a backup, and counts its versions from there.
LATE_S = 60.0

R = TypeVar("R", Model, Pool)


class Observed(NamedTuple):
    """The result of an observation.

    Attributes:
        key: Of the object.
        declared: Whether its spec or metadata changed, rather than only its status.
    """

    key: Key
    declared: bool


class LastSeen(NamedTuple):
    """The newest version of an object that was seen.

    Attributes:
        version: Its resourceVersion as a number; None once it has been deleted.
        at: When, in seconds of the store's clock.
    """

    version: int | None
    at: float


_log = get_logger("store")


class Store:
    """The declared objects.

    Attributes:
        models: By key.
        pools: By key.
        refused: The VoiceModels that no worker gets, with the reason; it follows from `models`.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Begin empty.

        Args:
            clock: Measures how long ago an object was seen; without one, the machine's.
        """
        self.models: dict[Key, Model] = {}
        self.pools: dict[Key, Pool] = {}
        self.refused: dict[Key, Refusal] = {}
        self._clock = clock or SystemClock()
        self._last: dict[tuple[str, str], LastSeen] = {}

    def export(self, metrics: Metrics) -> None:
        """Export the numbers of declared and of unready objects."""

        def export_kind(kind: str, known: Mapping[Key, R]) -> None:
            metrics.declared.labels(kind).set_function(lambda: len(known))
            metrics.unready.labels(kind).set_function(
                lambda: sum(not _is_ready(each.status) for each in list(known.values()))
            )

        export_kind("VoiceModel", self.models)
        export_kind("TTSWorkerPool", self.pools)

    def observe(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> Observed:
        """Store an object as the API server has it. A version that is older than the known one is ignored.

        Args:
            kind: "VoiceModel" or "TTSWorkerPool".
            body: The object; of a deleted one, only the namespace and the name are required.
            gone: Whether it was deleted.
        """
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        known = self.models.get(key) if kind == "VoiceModel" else self.pools.get(key)
        uid = body["metadata"].get("uid") or (known.meta.uid if known else "")
        if self._is_old(kind, uid, body, gone=gone):
            return Observed(key, declared=False)
        if gone and known and known.meta.uid != uid:
            return Observed(key, declared=False)  # another object has the name by now
        if kind == "VoiceModel":
            return Observed(key, _set(self.models, key, None if gone else _read(Model, body)))
        return Observed(key, _set(self.pools, key, None if gone else _read(Pool, body)))

    def _is_old(self, kind: str, uid: str, body: Mapping[str, Any], *, gone: bool) -> bool:
        """Whether a newer version was seen: a list, a watch and the answer to a write arrive in any order.

        Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
        """
        now = self._clock.now()
        last = self._last.get((kind, uid))
        version = None if gone else int(body["metadata"].get("resourceVersion") or 0)
        if last and now - last.at < LATE_S and version is not None and (last.version is None or version < last.version):
            return True
        if gone:
            self._last = {
                which: each for which, each in self._last.items() if each.version is not None or now - each.at < LATE_S
            }
        self._last[kind, uid] = LastSeen(version, now)
        return False

    def model_keys(self, namespace: str, model_ids: frozenset[str]) -> list[Key]:
        """The VoiceModels of a namespace that have these model ids."""
        return [key for key, model in self.models_of(namespace).items() if model.model_id in model_ids]

    def models_of(self, namespace: str) -> dict[Key, Model]:
        """The VoiceModels of a namespace."""
        return {key: model for key, model in self.models.items() if key.namespace == namespace}

    def pools_of(self, namespace: str) -> dict[Key, Pool]:
        """The TTSWorkerPools of a namespace that are not being deleted."""
        return {key: pool for key, pool in self.pools.items() if key.namespace == namespace and not pool.meta.deleting}


def _is_ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _set(known: dict[Key, R], key: Key, value: R | None) -> bool:
    before = known.get(key)
    if value is None:
        known.pop(key, None)
        return before is not None
    known[key] = value
    return before is None or (before.meta, before.spec) != (value.meta, value.spec)


def _read(kind: type[R], body: Mapping[str, Any]) -> R | None:
    """An object; None if an older or newer CRD accepted it and this version of the operator cannot read it."""
    try:
        return kind.read(body)
    except ValidationError as error:
        name = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        _log.error("object_unreadable", kind=kind.__name__, name=name, error=str(error))
        return None
