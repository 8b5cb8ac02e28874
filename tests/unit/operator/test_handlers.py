"""kopf gets handlers that only observe, our login to the API server, and settings under which it writes nothing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from kubernetes.aio import client
from voiceplane_operator.handlers import (
    CREDENTIALS_LAST,
    WATCH_TIMEOUT_S,
    credentials,
    operator_settings,
    registry_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import kopf
    from voiceplane_common.kube.api import Api
    from voiceplane_operator.reconcile.controller import Controller

HOST = "https://api.test:6443"


class FakeController:
    """Records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any], bool]] = []

    def observe(self, kind: str, body: Mapping[str, Any], *, gone: bool) -> None:
        self.calls.append((kind, body, gone))


class FakeApi:
    """An API server's address."""

    def __init__(self, **settings: Any) -> None:
        self.configuration = client.Configuration(host=HOST, **settings)


def registered(controller: FakeController, api: FakeApi) -> kopf.OperatorRegistry:
    return registry_of(cast("Controller", controller), cast("Api", api))


async def connection(**settings: Any) -> kopf.ConnectionInfo:
    return await credentials(cast("Api", FakeApi(**settings)))


def handlers(registry: kopf.OperatorRegistry) -> dict[str, Any]:
    """The handlers of events, by the plural of their kind."""
    found = {}
    for handler in registry._watching.get_all_handlers():
        assert handler.selector is not None
        assert (handler.selector.group, handler.selector.version) == ("voiceplane.dev", "v1alpha1")
        found[str(handler.selector.any_name)] = handler
    return found


def test_both_kinds_are_watched_by_raw_events_alone() -> None:
    registry = registered(FakeController(), FakeApi())
    assert handlers(registry).keys() == {"voicemodels", "ttsworkerpools"}
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert not others.get_all_handlers(), "these would add finalizers or annotations"


@pytest.mark.parametrize(("plural", "kind"), [("voicemodels", "VoiceModel"), ("ttsworkerpools", "TTSWorkerPool")])
@pytest.mark.parametrize(
    ("type_", "gone"), [(None, False), ("ADDED", False), ("MODIFIED", False), ("DELETED", True)], ids=str
)
async def test_each_event_reaches_the_controller_with_its_kind(
    plural: str, kind: str, type_: str | None, gone: bool
) -> None:
    controller = FakeController()
    body = {"metadata": {"namespace": "speech", "name": "joe"}}
    handler = handlers(registered(controller, FakeApi()))[plural]
    result = await handler.fn(event={"type": type_, "object": body}, name="joe", logger=logging.getLogger())
    assert controller.calls == [(kind, body, gone)]
    assert result is None, "kopf writes a handler's result into the status"


async def test_kopf_uses_the_same_api_server() -> None:
    (login,) = registered(FakeController(), FakeApi())._activities.get_all_handlers()
    info = await cast("Any", login.fn)(logger=logging.getLogger(), retry=0)
    assert info.server == HOST


async def test_a_certificate_and_a_proxy_are_passed_to_kopf() -> None:
    info = await connection(ssl_ca_cert=None, proxy="http://proxy.test:3128")
    assert (info.ca_path, info.certificate_path, info.private_key_path) == (None, None, None)
    assert (info.scheme, info.token, info.insecure) == (None, None, False)
    assert info.proxy_url == "http://proxy.test:3128"
    assert info.trust_env

    api = FakeApi()
    api.configuration.ssl_ca_cert = "ca.pem"
    api.configuration.cert_file = "cert.pem"
    api.configuration.key_file = "key.pem"
    api.configuration.verify_ssl = False
    info = await credentials(cast("Api", api))
    assert (info.ca_path, info.certificate_path, info.private_key_path) == ("ca.pem", "cert.pem", "key.pem")
    assert info.insecure


@pytest.mark.parametrize(
    ("key", "scheme", "token"),
    [("Bearer a.b.c", "Bearer", "a.b.c"), ("bearer a.b.c", "bearer", "a.b.c"), ("a.b.c", None, "a.b.c")],
)
async def test_a_token_is_split_from_its_scheme(key: str, scheme: str | None, token: str) -> None:
    info = await connection(api_key={"BearerToken": key})
    assert (info.scheme, info.token) == (scheme, token)


async def test_a_renewed_token_is_used_before_the_old_one_expires() -> None:
    def renew(configuration: client.Configuration) -> None:
        configuration.api_key["BearerToken"] = "Bearer new"

    api = FakeApi(api_key={"BearerToken": "Bearer old"})
    cast("Any", api.configuration).refresh_api_key_hook = renew
    before = datetime.now(UTC)
    info = await credentials(cast("Api", api))
    assert info.token == "new"  # noqa: S105
    assert info.expiration is not None
    assert before <= info.expiration - CREDENTIALS_LAST <= datetime.now(UTC)
    assert CREDENTIALS_LAST.total_seconds() <= 600, "a ServiceAccount's token may have this lifetime"


def test_kopf_posts_no_events_and_restarts_its_watches() -> None:
    settings = operator_settings()
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.watching.server_timeout == WATCH_TIMEOUT_S
    assert settings.watching.client_timeout is not None
    assert settings.watching.client_timeout > WATCH_TIMEOUT_S, "the server ends a watch first, and cleanly"
    assert settings.watching.connect_timeout
