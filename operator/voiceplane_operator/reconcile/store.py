"""The VoiceModels and TTSWorkerPools as the operator knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from voiceplane_common.kube.api import Key
from voiceplane_common.logs import get_logger

from voiceplane_operator.resources import Model, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_operator.declarations import Refusal

R = TypeVar("R", Model, Pool)

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

    def note(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> Key:
        """Take note of an object as the API server has it.

        Args:
            kind: "VoiceModel" or "TTSWorkerPool".
            body: It.
            gone: Whether it has been deleted.

        Returns:
            Its key.
        """
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        if kind == "VoiceModel":
            _note(self.models, key, None if gone else _read(Model, body))
        else:
            _note(self.pools, key, None if gone else _read(Pool, body))
        return key

    def models_of(self, namespace: str) -> dict[Key, Model]:
        """The VoiceModels of a namespace."""
        return {key: model for key, model in self.models.items() if key.namespace == namespace}

    def pools_of(self, namespace: str) -> dict[Key, Pool]:
        """The TTSWorkerPools of a namespace that are not being deleted."""
        return {key: pool for key, pool in self.pools.items() if key.namespace == namespace and not pool.meta.deleting}


def _note(known: dict[Key, R], key: Key, value: R | None) -> None:
    if value is None:
        known.pop(key, None)
    else:
        known[key] = value


def _read(kind: type[R], body: Mapping[str, Any]) -> R | None:
    """An object, or None for one that an older or newer definition has let in and this version can't read."""
    try:
        return kind.read(body)
    except ValidationError as error:
        name = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        _log.error("object_unreadable", kind=kind.__name__, name=name, error=str(error))
        return None
