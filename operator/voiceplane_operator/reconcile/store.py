"""The VoiceModels and TTSWorkerPools as the operator knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError
from voiceplane_common.kube.api import Key
from voiceplane_common.logs import get_logger

from voiceplane_operator.resources import Model, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_operator.declarations import Refusal

R = TypeVar("R", Model, Pool)


class Noted(NamedTuple):
    """What has been taken note of.

    Attributes:
        declared: Whether something is declared in another way than before; not if only the status is another one.
    """

    key: Key
    declared: bool


_log = get_logger("store")


class Store:
    """What is declared.

    Attributes:
        models: By key.
        pools: By key.
        refused: The VoiceModels that are given to no worker; a consequence of `models`.
    """

    def __init__(self) -> None:
        self.models: dict[Key, Model] = {}
        self.pools: dict[Key, Pool] = {}
        self.refused: dict[Key, Refusal] = {}
        self._versions: dict[tuple[str, str], int] = {}

    def note(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> Noted:
        """Take note of an object as the API server has it; one that is older than what is known is passed by.

        Args:
            kind: "VoiceModel" or "TTSWorkerPool".
            body: It.
            gone: Whether it has been deleted.

        Returns:
            Its key, and whether it is another one now.
        """
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        if not gone and self._is_old(kind, body):
            return Noted(key, declared=False)
        if gone:
            self._versions.pop((kind, body["metadata"].get("uid", "")), None)
        if kind == "VoiceModel":
            return Noted(key, _note(self.models, key, None if gone else _read(Model, body)))
        return Noted(key, _note(self.pools, key, None if gone else _read(Pool, body)))

    def _is_old(self, kind: str, body: Mapping[str, Any]) -> bool:
        """Whether a newer version was seen: a list, a watch and the answer to a write arrive in any order.

        Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
        """
        which = kind, body["metadata"]["uid"]
        version = int(body["metadata"].get("resourceVersion") or 0)
        if version < self._versions.get(which, 0):
            return True
        self._versions[which] = version
        return False

    def model_keys(self, namespace: str, model_ids: frozenset[str]) -> list[Key]:
        """The VoiceModels of a namespace that claim these ids."""
        return [key for key, model in self.models_of(namespace).items() if model.model_id in model_ids]

    def models_of(self, namespace: str) -> dict[Key, Model]:
        """The VoiceModels of a namespace."""
        return {key: model for key, model in self.models.items() if key.namespace == namespace}

    def pools_of(self, namespace: str) -> dict[Key, Pool]:
        """The TTSWorkerPools of a namespace that are not being deleted."""
        return {key: pool for key, pool in self.pools.items() if key.namespace == namespace and not pool.meta.deleting}


def _note(known: dict[Key, R], key: Key, value: R | None) -> bool:
    before = known.get(key)
    if value is None:
        known.pop(key, None)
        return before is not None
    known[key] = value
    return before is None or (before.meta, before.spec) != (value.meta, value.spec)


def _read(kind: type[R], body: Mapping[str, Any]) -> R | None:
    """An object, or None for one that an older or newer definition has let in and this version can't read."""
    try:
        return kind.read(body)
    except ValidationError as error:
        name = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        _log.error("object_unreadable", kind=kind.__name__, name=name, error=str(error))
        return None
