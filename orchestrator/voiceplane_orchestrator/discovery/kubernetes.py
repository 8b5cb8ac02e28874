"""Discovery in Kubernetes: it watches the EndpointSlices of the worker pools' Services."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from voiceplane_common.errors import failed_precondition
from voiceplane_common.logs import get_logger

try:
    from kubernetes.aio.config import ConfigException
    from voiceplane_common.kube.api import Api, ApiError, Key
    from voiceplane_common.kube.informer import Informer
    from voiceplane_common.kube.labels import Requirement, matches
    from voiceplane_common.kube.names import API_VERSION, DEMAND_AT
except ImportError as error:
    raise failed_precondition(
        "EXTRA_MISSING",
        f"discovery.kind kubernetes needs the extra voiceplane-orchestrator[kubernetes], and an import failed: {error}",
        field="discovery.kind",
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
FIELD_MANAGER = "voiceplane-orchestrator"
GRPC_PORT_NAME = "grpc"
DEFAULT_PORT = 50051
# A waiting session repeats its demand. A pool is annotated at most this often,
DEMAND_INTERVAL_S = 10.0
# and the pools are listed at most this often, whichever models clients request.
LIST_INTERVAL_S = 2.0

_log = get_logger("discovery")


class PoolsAndModels(NamedTuple):
    """The TTSWorkerPools and VoiceModels of a namespace, as the API server returns them."""

    pools: list[dict[str, Any]]
    models: list[dict[str, Any]]


class KubernetesDiscovery:
    """Watches EndpointSlices of some namespaces."""

    def __init__(self, *, namespaces: Iterable[str] = (), selector: str, kubeconfig: str = "") -> None:
        """Prepare; `start` connects.

        Args:
            namespaces: Namespaces of the worker pools; if empty, the pod's own.
            selector: Label selector of the EndpointSlices.
            kubeconfig: A kubeconfig file; if empty, KUBECONFIG or, in a pod, its ServiceAccount.
        """
        self._namespaces = tuple(namespaces)
        self._selector = selector
        self._kubeconfig = kubeconfig
        self._api: Api | None = None
        self._informers: list[Informer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._closed = False
        self._demand_lock = asyncio.Lock()
        self._pools_and_models: dict[str, PoolsAndModels] = {}
        self._listed_at = -LIST_INTERVAL_S
        self._requested_at: dict[tuple[str, str], float] = {}

    async def start(self) -> None:
        """See Discovery.

        Raises:
            VoiceplaneError: FAILED_PRECONDITION: NO_CLUSTER or NO_NAMESPACE.
        """
        try:
            self._api = await Api.connect(self._kubeconfig or None, field_manager=FIELD_MANAGER)
        except ConfigException as error:
            message = f"no configuration for the API server: {error}: set KUBECONFIG, or mount a ServiceAccount token"
            raise failed_precondition("NO_CLUSTER", message, field="discovery.kubeconfig") from None
        self._namespaces = self._namespaces or (_own_namespace(),)
        self._informers = [
            Informer(
                self._api,
                api_version="discovery.k8s.io/v1",
                kind="EndpointSlice",
                namespace=namespace,
                selector=self._selector,
                changed=self._notify,
            )
            for namespace in self._namespaces
        ]
        self._tasks = [asyncio.create_task(informer.run()) for informer in self._informers]

    async def watch(self) -> AsyncIterator[dict[str, bool]]:
        """See Discovery; for one reader. While the API server is unreachable, the last known workers stay."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._closed:
                return
            yield worker_addresses(each for informer in self._informers for each in informer.objects.values())

    async def demand(self, model_id: str) -> bool:
        """See Discovery: annotate pools that serve the model but have no ready worker; the operator scales them."""
        if self._api is None:
            return False
        async with self._demand_lock:
            now = asyncio.get_running_loop().time()
            if now - self._listed_at >= LIST_INTERVAL_S:
                self._pools_and_models = {
                    namespace: await self._list(self._api, namespace) for namespace in self._namespaces
                }
                self._listed_at = now
            found = False
            for namespace, (pools, models) in self._pools_and_models.items():
                for name in pools_to_scale_up(pools, models, model_id):
                    found = await self._request_scale_up(self._api, namespace, name, model_id) or found
            return found

    async def _list(self, api: Api, namespace: str) -> PoolsAndModels:
        try:
            pools = (await api.list(API_VERSION, "TTSWorkerPool", namespace))["items"]
            models = (await api.list(API_VERSION, "VoiceModel", namespace))["items"]
        except ApiError as error:
            _log.warning("pools_not_known", namespace=namespace, error=str(error))
            return PoolsAndModels([], [])
        return PoolsAndModels(pools, models)

    async def _request_scale_up(self, api: Api, namespace: str, name: str, model_id: str) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._requested_at.get((namespace, name), -DEMAND_INTERVAL_S) < DEMAND_INTERVAL_S:
            return True
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await api.annotate(API_VERSION, "TTSWorkerPool", namespace, name, {DEMAND_AT: stamp})
        except ApiError as error:
            _log.warning("pool_not_asked_for", pool=name, namespace=namespace, error=str(error))
            return False
        self._requested_at[namespace, name] = now
        _log.info("pool_asked_for", pool=name, namespace=namespace, model_id=model_id)
        return True

    async def aclose(self) -> None:
        """See Discovery."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._closed = True
        self._changed.set()
        if self._api:
            await self._api.close()

    def _notify(self, _: Key, __: dict[str, Any] | None) -> None:
        self._changed.set()


def worker_addresses(slices: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """The addresses in EndpointSlices, and whether each takes new sessions.

    A terminating endpoint is left out: its current utterances continue, and no others begin there. An endpoint may be
    in two slices for a moment; it takes sessions if either slice says so.

    Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions
    """
    found: dict[str, bool] = {}
    for each in slices:
        port = next((one.get("port") for one in each.get("ports") or () if one.get("name") == GRPC_PORT_NAME), None)
        for endpoint in each.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("terminating"):
                continue
            is_open = conditions.get("ready") is not False  # the API defines a missing condition as ready
            for host in endpoint["addresses"][:1]:  # the API defines all addresses as equivalent
                address = f"[{host}]:{port or DEFAULT_PORT}" if ":" in host else f"{host}:{port or DEFAULT_PORT}"
                found[address] = found.get(address, False) or is_open
    return found


def pools_to_scale_up(
    pools: Iterable[Mapping[str, Any]], models: Iterable[Mapping[str, Any]], model_id: str
) -> list[str]:
    """The names of the autoscaled pools that would serve a model and have no ready worker.

    Args:
        pools: The TTSWorkerPools of a namespace.
        models: The VoiceModels of the namespace.
        model_id: The requested model; empty for a default model.
    """
    selectors = [
        (model["spec"].get("poolSelector") or {})
        for model in models
        if (model["spec"].get("modelId") or model["metadata"]["name"]) == model_id
    ]
    return [
        pool["metadata"]["name"]
        for pool in pools
        if "autoscaling" in pool["spec"]
        and not (pool.get("status") or {}).get("readyReplicas")
        and _serves(pool, selectors, model_id)
    ]


def _serves(pool: Mapping[str, Any], selectors: Iterable[Mapping[str, Any]], model_id: str) -> bool:
    spec = pool["spec"]
    if not model_id:
        return bool(spec.get("defaultModel"))
    if model_id == spec.get("defaultModel") or model_id in (spec.get("preload") or ()):
        return True
    labels = pool["metadata"].get("labels") or {}
    return any(_selects(selector, labels) for selector in selectors)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    requirements = [
        Requirement(each["key"], each["operator"], each.get("values") or ())
        for each in selector.get("matchExpressions") or ()
    ]
    return matches(labels, equal=selector.get("matchLabels") or {}, requirements=requirements)


def _own_namespace() -> str:
    try:
        return OWN_NAMESPACE.read_text(encoding="utf-8").strip()
    except OSError:
        message = "this is no pod, and discovery.namespaces is empty: set it to the namespaces of the worker pools"
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            message = "the pod has no ServiceAccount token: mount it, or set discovery.namespaces"
        raise failed_precondition("NO_NAMESPACE", message, field="discovery.namespaces") from None
