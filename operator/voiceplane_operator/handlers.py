"""The kopf handlers: each passes an object to the controller, and does nothing else.

They are raw event handlers: kopf's change handlers keep their progress in annotations and add finalizers, which would
block the deletion of a VoiceModel while no operator runs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import kopf
from voiceplane_common.kube.names import GROUP, VERSION

if TYPE_CHECKING:
    from voiceplane_common.kube.api import Api

    from voiceplane_operator.reconcile.controller import Controller

KINDS = {"voicemodels": "VoiceModel", "ttsworkerpools": "TTSWorkerPool"}
# A ServiceAccount's token is renewed in its file long before it expires.
CREDENTIALS_LAST = timedelta(minutes=10)
# kopf restarts a watch after this time, so that a dead connection is found.
WATCH_TIMEOUT_S = 240


def registry_of(controller: Controller, api: Api) -> kopf.OperatorRegistry:
    """The handlers of a controller, and the login to its API server."""
    registry = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return await credentials(api)

    kopf.on.login(registry=registry)(log_in)
    for plural, kind in KINDS.items():

        async def observe(event: kopf.RawEvent, kind: str = kind, **_: Any) -> None:
            controller.observe(kind, event["object"], gone=event["type"] == "DELETED")

        kopf.on.event(GROUP, VERSION, plural, id=f"observe-{plural}", registry=registry)(observe)
    return registry


async def credentials(api: Api) -> kopf.ConnectionInfo:
    """Our connection to the API server, for kopf, which asks again when it has expired."""
    configuration = api.configuration
    bearer = (await configuration.auth_settings()).get("BearerToken")
    scheme, _, token = str(bearer["value"]).rpartition(" ") if bearer else ("", "", "")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
        trust_env=True,  # HTTPS_PROXY and NO_PROXY, as in our own calls
        expiration=datetime.now(UTC) + CREDENTIALS_LAST,
    )


def operator_settings() -> kopf.OperatorSettings:
    """Kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # the controller writes the events
    settings.posting.level = logging.CRITICAL
    settings.watching.server_timeout = WATCH_TIMEOUT_S
    settings.watching.client_timeout = WATCH_TIMEOUT_S + 30
    settings.watching.connect_timeout = 10
    settings.peering.standalone = True
    settings.scanning.disabled = True  # no CRD is created while it runs, and a namespaced Role cannot list them
    return settings
