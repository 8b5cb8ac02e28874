"""The nginx of examples/tls-proxy before a real orchestrator: TLS, keys, origins, bodies, speech and long silences."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import websockets
from aiohttp.abc import AbstractResolver
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_orchestrator.transports.http.errors import MAX_BODY_BYTES
from voiceplane_orchestrator.transports.websocket import endpoints
from voiceplane_worker.settings import WorkerSettings

from tests.support.orchestrators import Client, Frame, orchestrator
from tests.support.tls_proxy import EXAMPLE, NAME, Site, host_and_port, nginx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from voiceplane_orchestrator.app import Orchestrator

KEY = "a-key-of-this-test"
HEADERS = {"Authorization": f"Bearer {KEY}"}
SUBPROTOCOLS = ["voiceplane.v1", "voiceplane.key.YS1rZXktb2YtdGhpcy10ZXN0"]
TEXT = "One two three four five."


class Here(AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


class Proxied:
    """A running orchestrator, and the proxy before it."""

    def __init__(self, site: Site, orchestrator: Orchestrator) -> None:
        self.site = site
        self.direct = orchestrator.url
        self.https = f"https://{NAME}:{site.https_port}"
        self.tls = ssl.create_default_context(cafile=site.authority.certificate)

    def client(self) -> aiohttp.ClientSession:
        """A client that knows the proxy's name and trusts its certificate."""
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Here(), ssl=self.tls), headers=HEADERS)

    @contextlib.asynccontextmanager
    async def socket(self, path: str, **hello: object) -> AsyncIterator[Client]:
        """A session of the page's origin through the proxy."""
        async with self.open(path, origin=self.https) as raw:
            client = Client(raw)
            await client.send("hello", version=1, **hello)
            await client.until("ready")
            yield client

    def open(self, path: str, *, origin: str) -> websockets.connect:
        """A WebSocket through the proxy."""
        return websockets.connect(
            self.https.replace("https", "wss") + path,
            host="127.0.0.1",
            port=self.site.https_port,
            ssl=self.tls,
            subprotocols=SUBPROTOCOLS,  # type: ignore[arg-type]  # a NewType of str
            origin=origin,  # type: ignore[arg-type]  # another one
            additional_headers={"X-Forwarded-Host": urlsplit(origin).netloc},  # it must change nothing
        )


@contextlib.asynccontextmanager
async def proxied(folder: Path, **overrides: str) -> AsyncIterator[Proxied]:
    """An orchestrator behind the example's nginx.

    Args:
        folder: For the proxy's files.
        overrides: Other values of nginx's timeouts.
    """
    timeouts = {"proxy_read_timeout": "150s", "proxy_send_timeout": "30s", "proxy_timeout": "10m"}
    replaced = {f"{name} {timeouts[name]};": f"{name} {value};" for name, value in overrides.items()}
    async with orchestrator(auth={"api_keys": [KEY]}) as running:
        site = Site(folder=folder, orchestrator=host_and_port(running.url))
        async with nginx(site, replaced):
            yield Proxied(site, running)


async def test_plain_http_leads_to_https(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy, proxy.client() as http:
        plain = f"http://{NAME}:{proxy.site.http_port}"
        async with http.post(f"{plain}/v1/audio/speech?a=b", allow_redirects=False) as response:
            assert response.status == 308
            assert response.headers["Location"] == f"https://{NAME}/v1/audio/speech?a=b"
        challenge = f"{plain}/.well-known/acme-challenge/none"
        async with http.get(challenge, allow_redirects=False) as response:
            assert response.status == 404  # it is looked for here


async def test_the_page_is_open_and_the_api_asks_for_its_key(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy, proxy.client() as http:
        async with http.get(proxy.https, headers={"Authorization": ""}) as page:
            assert page.status == 200
            assert "Content-Security-Policy" in page.headers
        async with http.get(f"{proxy.https}/v1/models", headers={"Authorization": "Bearer wrong"}) as refused:
            assert refused.status == 401
            assert (await refused.json())["error"]["reason"] == "KEY_NEEDED"
        async with http.get(f"{proxy.https}/v1/models") as models:
            assert "mock" in [model["id"] for model in (await models.json())["models"]]


async def test_speech_is_the_same_as_without_a_proxy(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy, proxy.client() as http:
        heard = []
        for url in (proxy.direct, proxy.https):
            body = {"input": TEXT, "response_format": "pcm"}
            async with http.post(f"{url}/v1/audio/speech", json=body) as response:
                assert response.status == 200
                heard.append(await response.read())
        assert len(heard[0]) > 48_000
        assert heard[0] == heard[1]


def post(url: str, body: bytes, *, tls: ssl.SSLContext) -> tuple[int, str | None, Any]:
    """Have something spoken; the status, type and body of the answer, also of one that comes before all was sent."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    connection.sock = socket.create_connection(("127.0.0.1", where.port), timeout=30)
    if where.scheme == "https":
        connection.sock = tls.wrap_socket(connection.sock, server_hostname=where.hostname)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/v1/audio/speech")
        for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with contextlib.suppress(OSError):  # the server need not read on once it has refused
            connection.send(body)
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type"), json.loads(response.read())


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 4 * MAX_BODY_BYTES])
async def test_a_body_that_is_too_large_is_refused_as_without_a_proxy(tmp_path: Path, size: int) -> None:
    async with proxied(tmp_path) as proxy:
        answers = [
            await asyncio.to_thread(post, url, b" " * size, tls=proxy.tls) for url in (proxy.direct, proxy.https)
        ]
        assert answers[0][0] == 413
        assert answers[0] == answers[1]


async def test_text_is_spoken_over_a_websocket_of_the_pages_own_origin(tmp_path: Path) -> None:
    async with proxied(tmp_path) as proxy:
        async with proxy.socket("/v1/speak") as client:
            await client.send("text", text=TEXT, end=True)
            assert (await client.until("done"))["result"] == "complete"
            assert any(isinstance(item, Frame) and any(item.pcm) for item in client.seen)
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with proxy.open("/v1/speak", origin="https://elsewhere.example.com"):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["error"]["reason"] == "ORIGIN_REFUSED"


@pytest.mark.parametrize("timeout", ["proxy_read_timeout", "proxy_timeout"])
async def test_heartbeats_keep_a_silent_session_beyond_every_timeout_of_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: str
) -> None:
    async with proxied(tmp_path, **{timeout: "1s"}) as proxy:
        monkeypatch.setattr(endpoints, "HEARTBEAT_S", 60.0)
        began = asyncio.get_running_loop().time()
        async with proxy.socket("/v1/talk", sample_rate_hz=16_000) as client:
            await client.socket.wait_closed()
            lasted_s = asyncio.get_running_loop().time() - began
        assert client.socket.close_code == 1006  # it was the proxy: an orchestrator says why
        monkeypatch.setattr(endpoints, "HEARTBEAT_S", 0.1)
        async with proxy.socket("/v1/talk", sample_rate_hz=16_000) as client:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.socket.wait_closed(), 1.5 * lasted_s)
            await client.send("select", voice="high")
            await client.until("selected", voice="high")


def test_the_proxy_waits_longer_than_anything_is_silent() -> None:
    text = (EXAMPLE / "nginx.conf").read_text()
    (read_s,) = map(int, re.findall(r"proxy_read_timeout (\d+)s;", text))
    (tunnel_min, _) = map(int, re.findall(r"proxy_timeout (\d+)m;", text))
    assert read_s * 1000 > WorkerSettings().model_manager.load_timeout_ms
    assert read_s * 1000 > OrchestratorSettings().routing.recovery_timeout_ms
    assert read_s > endpoints.HEARTBEAT_S
    assert tunnel_min * 60 > read_s
