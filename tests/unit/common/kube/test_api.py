"""What the API server is asked, and that whatever goes wrong on the way is an ApiError."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from kubernetes.aio import client, config
from voiceplane_common.kube.api import WATCH_TIMEOUT_S, Api, ApiError, path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "https://api.test:6443"


class FakeResponse:
    """An HTTP response; an exception among its pieces breaks it off."""

    def __init__(self, *pieces: bytes | Exception, status: int = 200, reason: str = "OK") -> None:
        self._pieces = pieces
        self.status = status
        self.reason = reason
        self.closed = False
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def text(self) -> str:
        return b"".join([piece async for piece in self.iter_any()]).decode()

    async def json(self, *, content_type: str | None) -> Any:
        assert content_type is None, "aiohttp would refuse what is not said to be JSON"
        return json.loads(await self.text())

    def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class FakeServer:
    """Stands in for the HTTP client: remembers the requests, and answers each with the same."""

    def __init__(self, answer: FakeResponse | Exception) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    async def request(
        self, method: str, url: str, *, headers: dict[str, str], body: Any, _request_timeout: aiohttp.ClientTimeout
    ) -> Any:
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == HOST
        asked = {
            "method": method,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query, keep_blank_values=True)),
            "body": body,
        }
        self.requests.append(asked | {"headers": headers, "timeout": _request_timeout})
        if isinstance(self.answer, Exception):
            raise self.answer

        class Answer:
            response = self.answer

        return Answer

    async def close(self) -> None:
        pass


def connected(answer: FakeResponse | Exception, **settings: Any) -> tuple[Api, FakeServer]:
    server = FakeServer(answer)
    api = Api(client.Configuration(host=HOST, **settings), field_manager="tester")
    api._client.rest_client = cast("Any", server)
    return api, server


def answering(value: Any) -> tuple[Api, FakeServer]:
    return connected(FakeResponse(json.dumps(value).encode()))


def events(*values: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


async def followed(api: Api, *, selector: str = "") -> list[dict[str, Any]]:
    return [each async for each in api.watch("v1", "Pod", "speech", selector=selector, resource_version="7")]


@pytest.mark.parametrize(
    ("api_version", "kind", "namespace", "name", "path"),
    [
        ("v1", "Pod", "speech", "a", "/api/v1/namespaces/speech/pods/a"),
        ("v1", "Pod", "speech", None, "/api/v1/namespaces/speech/pods"),
        ("v1", "Pod", None, None, "/api/v1/pods"),
        ("apps/v1", "Deployment", "speech", "a", "/apis/apps/v1/namespaces/speech/deployments/a"),
        ("voiceplane.dev/v1alpha1", "VoiceModel", None, None, "/apis/voiceplane.dev/v1alpha1/voicemodels"),
        ("v1", "Node", None, "n", "/api/v1/nodes/n"),
        ("v1", "Pod", "a?b", "c?d", "/api/v1/namespaces/a%3Fb/pods/c%3Fd"),
    ],
)
def test_a_path_names_an_object_or_all_of_a_kind(
    api_version: str, kind: str, namespace: str | None, name: str | None, path: str
) -> None:
    assert path_of(api_version, kind, namespace, name) == path


async def test_a_list_is_selected_by_the_server_and_no_empty_selector_is_sent() -> None:
    api, server = answering({"items": []})
    assert await api.list("v1", "Pod", "speech", "a=b,c!=d") == {"items": []}
    await api.list("v1", "Pod", None)
    first, second = server.requests
    assert (first["method"], first["path"]) == ("GET", "/api/v1/namespaces/speech/pods")
    assert first["query"] == {"labelSelector": "a=b,c!=d"}
    assert (second["path"], second["query"]) == ("/api/v1/pods", {})
    assert api.calls == 2
    assert first["timeout"].total, "each call has a timeout"


async def test_an_object_is_read_by_its_name() -> None:
    api, server = answering({"kind": "Pod"})
    assert await api.get("v1", "Pod", "speech", "a") == {"kind": "Pod"}
    assert server.requests[0]["path"] == "/api/v1/namespaces/speech/pods/a"


async def test_apply_is_server_side_under_our_name_and_by_force() -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "speech"}}
    api, server = answering(manifest)
    assert await api.apply(manifest) == manifest
    (asked,) = server.requests
    assert (asked["method"], asked["path"]) == ("PATCH", "/api/v1/namespaces/speech/configmaps/a")
    assert asked["query"] == {"fieldManager": "tester", "force": "true"}
    assert asked["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert asked["body"] == manifest


async def test_a_status_is_replaced_only_of_the_very_same_object() -> None:
    api, server = answering({})
    await api.replace_status("voiceplane.dev/v1alpha1", "VoiceModel", "speech", "joe", uid="u", status={"phase": "x"})
    (asked,) = server.requests
    assert asked["path"] == "/apis/voiceplane.dev/v1alpha1/namespaces/speech/voicemodels/joe/status"
    assert asked["method"] == "PATCH"
    assert asked["headers"]["Content-Type"] == "application/json-patch+json"
    assert asked["body"] == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status", "value": {"phase": "x"}},
    ]
    assert asked["query"] == {"fieldManager": "tester"}


async def test_annotations_are_merged_and_none_removes_one() -> None:
    api, server = answering({})
    await api.annotate("v1", "Pod", "speech", "a", {"set": "1", "gone": None})
    (asked,) = server.requests
    assert (asked["method"], asked["path"]) == ("PATCH", "/api/v1/namespaces/speech/pods/a")
    assert asked["headers"]["Content-Type"] == "application/merge-patch+json"
    assert asked["body"] == {"metadata": {"annotations": {"set": "1", "gone": None}}}


async def test_a_new_object_is_posted_to_its_kind() -> None:
    manifest = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "speech"}}
    api, server = answering(manifest)
    assert await api.create(manifest) == manifest
    (asked,) = server.requests
    assert (asked["method"], asked["path"]) == ("POST", "/api/v1/namespaces/speech/events")
    assert asked["headers"]["Content-Type"] == "application/json"
    assert asked["query"] == {"fieldManager": "tester"}
    assert asked["body"] == manifest


async def test_the_token_goes_with_each_request() -> None:
    api, server = connected(FakeResponse(b"{}"), api_key={"BearerToken": "Bearer secret"})
    await api.get("v1", "Pod", "speech", "a")
    assert server.requests[0]["headers"]["authorization"] == "Bearer secret"


@pytest.mark.parametrize("cause", [config.ConfigException("Token file exists but empty."), OSError("no such file")])
async def test_a_token_that_can_not_be_read_is_an_api_error(cause: Exception) -> None:
    def renew(_: client.Configuration) -> None:
        raise cause

    api, server = connected(FakeResponse(b"{}"), api_key={"BearerToken": "Bearer old"})
    cast("Any", api.configuration).refresh_api_key_hook = renew
    with pytest.raises(ApiError) as raised:
        await api.get("v1", "Pod", "speech", "a")
    assert (raised.value.status, raised.value.reason, raised.value.message) == (0, "NoCredentials", str(cause))
    assert server.requests == []


async def test_a_refusal_says_what_the_server_says() -> None:
    status = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "it has changed"}
    api, server = connected(FakeResponse(json.dumps(status).encode(), status=409, reason="409"))
    with pytest.raises(ApiError, match=r"^409 Conflict: it has changed$") as raised:
        await api.get("v1", "Pod", "speech", "a")
    assert (raised.value.status, raised.value.reason, raised.value.message) == (409, "Conflict", "it has changed")
    assert isinstance(server.answer, FakeResponse)
    assert server.answer.closed, "the connection goes back"


@pytest.mark.parametrize("piece", [b"<html>", aiohttp.ClientPayloadError("cut"), TimeoutError()])
async def test_a_refusal_without_words_keeps_its_status(piece: bytes | Exception) -> None:
    api, _ = connected(FakeResponse(piece, status=502, reason="Bad Gateway"))
    with pytest.raises(ApiError, match="502 Bad Gateway"):
        await api.get("v1", "Pod", "speech", "a")


@pytest.mark.parametrize(
    ("cause", "message"),
    [(aiohttp.ClientConnectionError("refused"), "refused"), (TimeoutError(), "TimeoutError")],
)
async def test_a_server_out_of_reach_is_an_api_error_without_a_status(cause: Exception, message: str) -> None:
    api, _ = connected(cause)
    with pytest.raises(ApiError) as raised:
        await api.list("v1", "Pod", None)
    assert (raised.value.status, raised.value.reason, raised.value.message) == (0, "Unreachable", message)
    assert api.calls == 1


@pytest.mark.parametrize(
    "end", [aiohttp.ClientPayloadError("cut"), TimeoutError(), b""], ids=["broken off", "too slow", "too short"]
)
async def test_an_answer_that_does_not_come_to_its_end_is_an_api_error(end: bytes | Exception) -> None:
    api, server = connected(FakeResponse(b'{"items": [', end))
    with pytest.raises(ApiError) as raised:
        await api.list("v1", "Pod", None)
    assert (raised.value.status, raised.value.reason) == (0, "Unreachable")
    assert raised.value.message
    assert isinstance(server.answer, FakeResponse)
    assert server.answer.closed


async def test_a_watch_yields_whole_events_however_they_are_cut() -> None:
    first, second, third = ({"type": "ADDED", "object": {"name": name}} for name in ("a", "b\n", "ü"))
    whole = events(first) + b"\n" + events(second, third)
    pieces = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    api, server = connected(FakeResponse(*pieces))
    assert await followed(api, selector="a=b") == [first, second, third]
    (asked,) = server.requests
    assert (asked["method"], asked["path"]) == ("GET", "/api/v1/namespaces/speech/pods")
    assert asked["query"] == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": str(WATCH_TIMEOUT_S),
        "labelSelector": "a=b",
    }
    assert isinstance(server.answer, FakeResponse)
    assert server.answer.closed


async def test_a_watch_outlives_its_servers_timeout_but_no_dead_connection() -> None:
    api, server = connected(FakeResponse())
    assert await followed(api) == []
    (asked,) = server.requests
    assert asked["timeout"].total is None
    assert asked["timeout"].sock_read > WATCH_TIMEOUT_S
    assert asked["timeout"].sock_connect
    assert "labelSelector" not in asked["query"]


async def test_an_error_among_the_events_ends_the_watch() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}
    api, server = connected(FakeResponse(events({"type": "ADDED", "object": {}}, gone)))
    with pytest.raises(ApiError, match="410 Expired: too old resource version"):
        await followed(api)
    assert isinstance(server.answer, FakeResponse)
    assert server.answer.closed


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (aiohttp.ClientPayloadError("cut"), "cut"),
        (TimeoutError("no word"), "no word"),
        (b"<html>\n", "Expecting value: line 1 column 1 (char 0)"),
    ],
    ids=["broken off", "too slow", "no event"],
)
async def test_a_watch_that_breaks_off_is_an_api_error(end: bytes | Exception, message: str) -> None:
    api, server = connected(FakeResponse(events({"type": "ADDED", "object": {}}), end))
    with pytest.raises(ApiError) as raised:
        await followed(api)
    assert (raised.value.status, raised.value.message) == (0, message)
    assert isinstance(server.answer, FakeResponse)
    assert server.answer.closed


@pytest.mark.parametrize(
    ("kubeconfig", "in_pod", "variable", "expected"),
    [
        ("a.kubeconfig", True, True, "file a.kubeconfig"),
        (None, True, False, "pod"),
        (None, True, True, "file None"),
        (None, False, True, "file None"),
        (None, False, False, "file None"),
    ],
    ids=["a file is named", "in a pod", "in a pod that has KUBECONFIG", "KUBECONFIG", "~/.kube/config"],
)
async def test_it_connects_by_what_is_named_first(
    kubeconfig: str | None, in_pod: bool, variable: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    async def by_file(*, client_configuration: Any, config_file: str | None = None) -> None:
        used.append(f"file {config_file}")
        client_configuration.host = HOST

    def in_cluster(*, client_configuration: Any) -> None:
        used.append("pod")
        client_configuration.host = HOST

    monkeypatch.setattr(config, "load_kube_config", by_file)
    monkeypatch.setattr(config, "load_incluster_config", in_cluster)
    for name, is_set in (("KUBERNETES_SERVICE_HOST", in_pod), ("KUBECONFIG", variable)):
        monkeypatch.delenv(name, raising=False)
        if is_set:
            monkeypatch.setenv(name, "set")
    api = await Api.connect(kubeconfig, field_manager="tester")
    assert used == [expected]
    assert api.configuration.host == HOST
    await api.close()
