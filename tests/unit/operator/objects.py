"""Custom resources for tests, as the API server returns them."""

from __future__ import annotations

from typing import Any

from voiceplane_operator.resources import Model, Pool

NAMESPACE = "speech"


def body(name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    known = {"namespace": NAMESPACE, "name": name, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": "2026"}
    return {"metadata": known | metadata, "spec": spec}


def a_model(name: str = "joe", *, metadata: dict[str, Any] | None = None, **spec: Any) -> Model:
    return Model.read(body(name, {"family": "mock"} | spec, **(metadata or {})))


def a_pool(name: str = "p", *, metadata: dict[str, Any] | None = None, **spec: Any) -> Pool:
    return Pool.read(body(name, {"image": "worker:1"} | spec, **(metadata or {})))


def a_lora(name: str, base: str, **spec: Any) -> Model:
    lora = {"baseModelRef": {"name": base}, "source": {"uri": "file:///lora"}}
    return a_model(name, lora=lora, **spec)
