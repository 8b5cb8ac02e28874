"""The custom resources in memory: the metadata that the operator uses, and the parsed spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voiceplane_common.kube.api import Key
from voiceplane_common.kube.names import API_VERSION, DEMAND_AT

from voiceplane_operator.specs.pool import TTSWorkerPoolSpec
from voiceplane_operator.specs.voicemodel import VoiceModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The parts of an object's metadata that the operator uses.

    Attributes:
        demand_at: When a session last found no worker in the pool, RFC 3339; empty if none did.
    """

    key: Key
    uid: str
    generation: int
    created: str
    labels: Mapping[str, str]
    demand_at: str
    deleting: bool

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Meta:
        """From an object as the API server returns it."""
        metadata = body["metadata"]
        return cls(
            key=Key(metadata["namespace"], metadata["name"]),
            uid=metadata["uid"],
            generation=metadata.get("generation", 0),
            created=metadata.get("creationTimestamp") or "",
            labels=dict(metadata.get("labels") or {}),
            demand_at=(metadata.get("annotations") or {}).get(DEMAND_AT, ""),
            deleting="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A VoiceModel.

    Attributes:
        status: As last seen.
    """

    meta: Meta
    spec: VoiceModelSpec
    status: Mapping[str, Any]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Model:
        """From an object as the API server returns it."""
        spec = VoiceModelSpec.model_validate(body["spec"])
        return cls(meta=Meta.read(body), spec=spec, status=dict(body.get("status") or {}))

    @property
    def key(self) -> Key:
        """Its key."""
        return self.meta.key

    @property
    def model_id(self) -> str:
        """The id that sessions ask for."""
        return self.spec.model_id or self.meta.key.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A TTSWorkerPool.

    Attributes:
        status: As last seen.
    """

    meta: Meta
    spec: TTSWorkerPoolSpec
    status: Mapping[str, Any]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Pool:
        """From an object as the API server returns it."""
        spec = TTSWorkerPoolSpec.model_validate(body["spec"])
        return cls(meta=Meta.read(body), spec=spec, status=dict(body.get("status") or {}))

    @property
    def key(self) -> Key:
        """Its key."""
        return self.meta.key

    @property
    def owner_reference(self) -> dict[str, Any]:
        """Makes the garbage collector delete owned objects with the pool, even while no operator runs."""
        return {
            "apiVersion": API_VERSION,
            "kind": "TTSWorkerPool",
            "name": self.key.name,
            "uid": self.meta.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
