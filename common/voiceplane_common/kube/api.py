"""Calls of the Kubernetes API with plain objects; the library does credentials and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config

from voiceplane_common import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

CALL_TIMEOUT_S = 10.0
# The server ends a watch after so long, so that one whose connection died unseen is renewed.
WATCH_TIMEOUT_S = 240
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


class Key(NamedTuple):
    """Names an object among those of its kind."""

    namespace: str
    name: str


class ApiError(Exception):
    """The API server has refused, or can't be reached.

    Attributes:
        status: The HTTP status; 0 if there was none.
        reason: Kubernetes' own word, such as Conflict.
        message: What the server says.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """One API server. Close it after use.

    Attributes:
        calls: Requests so far.
    """

    def __init__(self, configuration: client.Configuration, *, field_manager: str) -> None:
        """Prepare.

        Args:
            configuration: How the server is reached.
            field_manager: The name under which objects are written.
        """
        self._client = client.ApiClient(configuration)
        self._field_manager = field_manager
        self.calls = 0

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, *, field_manager: str) -> Api:
        """With a kubeconfig file, KUBECONFIG, or in a pod its own ServiceAccount.

        Raises:
            config.ConfigException: None of these is there.
        """
        configuration = client.Configuration()
        if kubeconfig:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, client_configuration=configuration
            )
        elif "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return cls(configuration, field_manager=field_manager)

    @property
    def configuration(self) -> client.Configuration:
        """How the server is reached: its address, certificates and token."""
        configuration: client.Configuration = self._client.configuration
        return configuration

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def list(self, api_version: str, kind: str, namespace: str | None, selector: str = "") -> dict[str, Any]:
        """All objects of a kind, in one namespace or in all, with the list's own metadata."""
        query = {"labelSelector": selector} if selector else {}
        with _traced("list", kind, namespace):
            return await self._call("GET", path_of(api_version, kind, namespace), query)

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """One object."""
        with _traced("get", kind, namespace, name):
            return await self._call("GET", path_of(api_version, kind, namespace, name), {})

    async def apply(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply: what the manifest says is ours, and what it no longer says goes."""
        metadata = manifest["metadata"]
        path = path_of(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": self._field_manager, "force": "true"}
        with _traced("apply", manifest["kind"], metadata.get("namespace"), metadata["name"]):
            return await self._call("PATCH", path, query, body=manifest, content_type=APPLY)

    async def replace_status(
        self, api_version: str, kind: str, namespace: str, name: str, *, uid: str, status: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a whole status, of the very object that has this uid."""
        path = path_of(api_version, kind, namespace, name) + "/status"
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        query = {"fieldManager": self._field_manager}
        with _traced("replace status of", kind, namespace, name):
            return await self._call("PATCH", path, query, body=patch, content_type=JSON_PATCH)

    async def annotate(
        self, api_version: str, kind: str, namespace: str, name: str, annotations: Mapping[str, str | None]
    ) -> None:
        """Set annotations; None removes one."""
        body = {"metadata": {"annotations": dict(annotations)}}
        path = path_of(api_version, kind, namespace, name)
        query = {"fieldManager": self._field_manager}
        with _traced("annotate", kind, namespace, name):
            await self._call("PATCH", path, query, body=body, content_type=MERGE_PATCH)

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """A new object."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        path = path_of(manifest["apiVersion"], kind, metadata["namespace"])
        with _traced("create", kind, metadata["namespace"], metadata["name"]):
            return await self._call("POST", path, {"fieldManager": self._field_manager}, body=manifest)

    async def watch(
        self, api_version: str, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Events after a version, bookmarks included, until the server ends the watch.

        Raises:
            ApiError: 410: the version is too old; list again. Or the connection broke.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
        }
        if selector:
            query["labelSelector"] = selector
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT_S, sock_read=WATCH_TIMEOUT_S + 30)
        response = await self._send("GET", path_of(api_version, kind, namespace), query, timeout=timeout)
        try:
            buffer = b""
            async for piece in response.content.iter_any():
                *lines, buffer = (buffer + piece).split(b"\n")
                for line in filter(None, lines):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _error_of(event["object"])
                    yield event
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _broken_off(error) from None
        finally:
            response.close()

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: object = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        response = await self._send(method, path, query, body=body, content_type=content_type, timeout=timeout)
        async with response:
            try:
                result: dict[str, Any] = await response.json(content_type=None)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise _broken_off(error) from None
            return result

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout: aiohttp.ClientTimeout,
        body: object = None,
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        except (config.ConfigException, OSError) as error:  # the file of a ServiceAccount's token is read again
            raise ApiError(0, "NoCredentials", str(error)) from None
        url = self._client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        self.calls += 1
        try:
            answer = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise _broken_off(error) from None
        response: aiohttp.ClientResponse = answer.response
        if response.status < 400:
            return response
        async with response:
            try:
                raise _error_of(json.loads(await response.text()))
            except (aiohttp.ClientError, TimeoutError, ValueError):
                raise ApiError(response.status, response.reason or "", "") from None


def path_of(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    """The path of an object, of a namespace's objects of a kind, or of all of them; for kinds with a regular plural."""
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    where = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{root}{where}/{kind.lower()}s" + (f"/{quote(name)}" if name else "")


@contextlib.contextmanager
def _traced(verb: str, kind: str, namespace: str | None, name: str = "") -> Iterator[None]:
    """A call, as a part of what it is made for; a watch has none, since it is made for nothing that ends."""
    with tracing.child_span(f"{verb} {kind}", kind="client") as span:
        span.note(namespace=namespace or "", name=name)
        yield


def _broken_off(error: Exception) -> ApiError:
    return ApiError(0, "Unreachable", str(error) or type(error).__name__)


def _error_of(status: Mapping[str, Any]) -> ApiError:
    return ApiError(int(status.get("code", 0)), str(status.get("reason", "")), str(status.get("message", "")))
