"""The HTTP endpoints: models, workers, speech files, health, metrics, the page, keys and origins."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import io
import json
import struct
import time
import wave
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets
from voiceplane_common.api_keys import new_key, write_keys
from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings

from tests.support.orchestrators import LoudIsVoice, ScriptedRecognizer, client, orchestrator
from tests.support.processes import free_port
from tests.support.raw_websocket import raw_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MINUTES = "A text that goes on for minutes. " * 100


@contextlib.asynccontextmanager
async def http(**sections: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, Orchestrator]]:
    """A client of an orchestrator, which must have no session left in the end."""
    async with orchestrator(**sections) as running, aiohttp.ClientSession(running.url) as web, asyncio.timeout(30):
        yield web, running
        await running.wait_idle()
        assert running.live_sessions == 0


async def error_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The error in a response: always JSON, always with the same fields."""
    assert response.content_type == "application/json"
    error: dict[str, Any] = (await response.json())["error"]
    assert error.keys() == {"code", "reason", "field", "message", "retry_after_ms", "type", "param"}
    assert error["param"] == (error["field"] or None)
    assert error["message"]
    return error


async def state_of(web: aiohttp.ClientSession, model: str) -> str:
    models = (await (await web.get("/v1/models")).json())["models"]
    (entry,) = (entry for entry in models if entry["id"] == model)
    (on,) = entry["workers"]
    return str(on["state"])


async def test_models_tells_each_model_with_its_voices_and_its_state_on_the_worker() -> None:
    async with http() as (web, running):
        models = (await (await web.get("/v1/models")).json())["models"]
        (mock,) = (model for model in models if model["id"] == "mock")
        assert (mock["family"], mock["is_default"]) == ("mock", True)
        assert {"name": "low", "language": "en-US"}.items() <= mock["voices"][0].items()
        (on,) = mock["workers"]
        assert on.keys() == {
            "worker",
            "state",
            "availability",
            "reason",
            "message",
            "references",
            "memory_bytes",
            "fetched_bytes",
            "fetch_bytes",
            "fetch_bytes_per_s",
            "prefetched",
        }
        assert on["worker"] == running.settings.discovery.workers[0]
        assert on["state"] == "resident"


async def test_load_unload_and_reload_answer_when_routing_has_the_new_state() -> None:
    """A session that is opened after the answer must not be given a fallback."""
    async with http() as (web, running):
        for action, state in (("unload", "absent"), ("load", "resident"), ("reload", "resident")):
            response = await web.post(f"/v1/models/mock/{action}")
            assert response.status == 200
            assert (await response.json())["workers"] == {running.settings.discovery.workers[0]: state}
            assert await state_of(web, "mock") == state


@pytest.mark.parametrize("action", ["load", "unload", "reload"])
async def test_an_unknown_model_cannot_be_changed(action: str) -> None:
    async with http() as (web, _):
        response = await web.post(f"/v1/models/unknown/{action}")
        error = await error_of(response)
        assert (response.status, error["reason"]) == (404, "UNKNOWN_MODEL")
        assert "unknown" in error["message"]


async def test_workers_tells_each_worker_with_its_load() -> None:
    async with http() as (web, running), client(running, "/v1/speak") as speaking:
        await speaking.send("text", text="Hi.", end=True)
        await speaking.until("done")
        (worker,) = (await (await web.get("/v1/workers")).json())["workers"]
        assert worker.keys() == {
            "address",
            "worker_id",
            "device",
            "ready",
            "draining",
            "sessions",
            "max_sessions",
            "queue_depth",
            "first_audio_p50_ms",
            "rtf_p50",
            "device_memory_bytes",
            "device_memory_used_bytes",
        }
        assert worker["address"] == running.settings.discovery.workers[0]
        assert (worker["ready"], worker["draining"], worker["sessions"]) == (True, False, 1)


async def test_a_speech_file_is_the_same_as_wav_and_as_pcm_and_as_over_the_websocket() -> None:
    async with http() as (web, running), client(running, "/v1/speak") as speaking:
        text = "Hello, world. How are you?"
        wav = await web.post("/v1/audio/speech", json={"input": text, "response_format": "wav"})
        raw = {"response_format": "pcm", "sample_rate": 48_000}
        pcm = await web.post("/v1/audio/speech", json={"input": text, **raw})
        assert (wav.status, wav.content_type) == (200, "audio/wav")
        assert (pcm.status, pcm.content_type) == (200, "audio/pcm")
        content, samples = await wav.read(), await pcm.read()
        assert content[44:] == samples
        with wave.open(io.BytesIO(content)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
            assert file.readframes(file.getnframes()) == samples, "it ended soon, so its length is known"
        await speaking.send("text", text=text, end=True)
        await speaking.until("done")
        spoken = b"".join(frame.pcm[: 2 * frame.valid_samples] for frame in speaking.frames(1))
        assert spoken == samples


async def test_a_wav_file_that_takes_longer_is_sent_before_its_length_is_known() -> None:
    async with http() as (web, _):
        response = await web.post("/v1/audio/speech", json={"input": MINUTES, "response_format": "wav"})
        head = await response.content.readexactly(44)
        assert struct.unpack_from("<4sI4s", head) == (b"RIFF", 0xFFFF_FFFF, b"WAVE")
        assert struct.unpack_from("<4sI", head, 36) == (b"data", 0xFFFF_FFFF)
        response.close()


async def test_a_speech_file_is_sent_faster_than_it_plays() -> None:
    async with http() as (web, _):
        began_s = time.monotonic()
        response = await web.post("/v1/audio/speech", json={"input": MINUTES[:1000], "response_format": "pcm"})
        seconds = len(await response.read()) / 2 / 24_000
        assert seconds > 50
        assert time.monotonic() - began_s < seconds / 5


async def test_a_speech_file_begins_before_its_end_is_made() -> None:
    async with http() as (web, running):
        response = await web.post("/v1/audio/speech", json={"input": MINUTES})
        assert await response.content.readexactly(10_000)
        assert running.live_sessions == 1
        response.close()  # the client vanishes


async def test_a_speech_file_that_is_not_read_is_given_up() -> None:
    async with (
        http(limits={"write_timeout_ms": 200}) as (_, running),
        raw_connection(running.url) as (reader, writer),
    ):
        body = json.dumps({"input": MINUTES}).encode()
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert b" 200 " in await reader.readline()
        await running.wait_idle()
        received = await reader.read(-1)
        assert not received.endswith(b"\r\n0\r\n\r\n"), "it must not look complete"
        assert len(received) < 3 * 2 * 48_000


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({"input": "Hi.", "model": "unknown"}, 404, "UNKNOWN_MODEL", "model"),
        ({"input": "Hi.", "voice": "unknown"}, 404, "UNKNOWN_VOICE", "voice"),
        ({"input": "x" * 101}, 400, "TEXT_TOO_LONG", "input"),
        ({"input": "?! \U0001f600"}, 400, "NOTHING_TO_SPEAK", "input"),
        ({"input": ""}, 400, "NOTHING_TO_SPEAK", "input"),
        ({}, 400, "INVALID_MESSAGE", "input"),
        ({"input": "Hi.", "speed": 9}, 400, "INVALID_MESSAGE", "speed"),
        ({"input": "Hi.", "response_format": "midi"}, 400, "INVALID_MESSAGE", "response_format"),
        ({"input": "Hi.", "sample_rate": 96_000}, 400, "INVALID_ARGUMENT", "sample_rate"),
        ({"input": "Hi.", "response_format": "opus", "sample_rate": 44_100}, 400, "INVALID_ARGUMENT", "sample_rate"),
        ({"input": "Hi.", "channels": 3}, 400, "INVALID_MESSAGE", "channels"),
        ({"input": "Hi.", "voice": {"name": "low"}}, 400, "INVALID_MESSAGE", "voice"),
        ({"input": "Hi.", "stream_format": "rtp"}, 400, "INVALID_MESSAGE", "stream_format"),
        ([], 400, "INVALID_MESSAGE", ""),
        ({"input": "x" * 2_000_000}, 413, "BODY_TOO_LARGE", ""),
    ],
)
async def test_a_speech_file_that_cannot_be_made_is_refused(body: object, status: int, reason: str, field: str) -> None:
    async with http(limits={"max_text_chars": 100}) as (web, _):
        response = await web.post("/v1/audio/speech", data=io.BytesIO(json.dumps(body).encode()))
        error = await error_of(response)
        assert (response.status, error["reason"], error["field"]) == (status, reason, field)


async def test_a_body_that_is_not_json_is_refused() -> None:
    async with http() as (web, _):
        response = await web.post("/v1/audio/speech", data=b"\xff{")
        assert (response.status, (await error_of(response))["reason"]) == (400, "INVALID_MESSAGE")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/assets/nothing.js", 404, "NOT_FOUND"),
        ("GET", "/assets/..%2findex.html", 404, "NOT_FOUND"),
        ("GET", "/assets/%2e%2e/%2e%2e/app.py", 404, "NOT_FOUND"),
        ("POST", "/v1/models", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/models/mock/explode", 404, "NOT_FOUND"),
        ("GET", "/v1/talk", 400, "BAD_REQUEST"),
    ],
)
async def test_what_does_not_exist_is_a_json_error(method: str, path: str, status: int, reason: str) -> None:
    async with http() as (web, _):
        response = await web.request(method, path)
        assert (response.status, (await error_of(response))["reason"]) == (status, reason)
        assert status != 405 or "GET" in response.headers["Allow"]


async def test_health_and_readiness_with_a_worker() -> None:
    async with http() as (web, _):
        health, ready = await web.get("/healthz"), await web.get("/readyz")
        assert (health.status, await health.json()) == (200, {"status": "ok"})
        assert (ready.status, await ready.json()) == (200, {"status": "ready"})


async def test_without_a_worker_it_lives_is_not_ready_and_says_why() -> None:
    settings = OrchestratorSettings.model_validate(
        {
            "server": {"listen": "127.0.0.1:0"},
            "discovery": {"workers": [f"127.0.0.1:{free_port()}"]},
            "routing": {"recovery_timeout_ms": 0},
        }
    )
    async with (
        Orchestrator(settings, recognizer=ScriptedRecognizer(), voice_activity=LoudIsVoice) as running,
        aiohttp.ClientSession(running.url) as web,
    ):
        assert (await web.get("/healthz")).status == 200
        ready = await web.get("/readyz")
        assert (ready.status, await ready.json()) == (503, {"status": "no_worker", "reason": "no worker is ready"})
        speech = await web.post("/v1/audio/speech", json={"input": "Hi."})
        assert (speech.status, (await error_of(speech))["reason"]) == (503, "NO_WORKER")
        assert (await (await web.get("/v1/models")).json())["models"] == []


async def test_metrics_count_sessions_errors_and_first_audio() -> None:
    async with http() as (web, running), client(running, "/v1/speak") as speaking:
        await speaking.send("select", model="unknown")
        await speaking.until("error")
        await speaking.send("text", text="Hi.", end=True)
        await speaking.until("done")
        response = await web.get("/metrics")
        assert response.content_type == "text/plain"
        lines = (await response.text()).splitlines()
        prefix = "voiceplane_orchestrator_"
        assert f'{prefix}sessions{{kind="speak"}} 1.0' in lines
        assert f'{prefix}errors_total{{reason="UNKNOWN_MODEL"}} 1.0' in lines
        assert f'{prefix}first_audio_seconds_count{{after="text"}} 1.0' in lines
        assert f'{prefix}utterances_total{{result="complete"}} 1.0' in lines
        assert f'{prefix}synthesis_seconds_count{{model="mock"}} 1.0' in lines
        assert f"{prefix}reply_first_token_seconds_count 0.0" in lines, "it was not asked for by speech"
        assert f'{prefix}workers{{state="ready"}} 1.0' in lines
        assert f"{prefix}turns_total 0.0" in lines


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        ("/assets/main.js", "text/javascript"),
        ("/assets/style.css", "text/css"),
        ("/assets/icon.svg", "image/svg+xml"),
    ],
)
async def test_the_page_is_served_with_its_type_and_a_policy(path: str, content_type: str) -> None:
    async with http(auth={"api_keys": ["secret"]}) as (web, _):
        response = await web.get(path)
        assert (response.status, response.content_type) == (200, content_type)
        assert await response.read()
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"


CLOSED = ["/v1/models", "/v1/workers", "/metrics", "/v1/talk", "/v1/speak", "/v1/nothing"]
ANYTHING_BUT_THE_KEY = [
    "",
    "Bearer",
    "Bearer wrong",
    "Bearer secret2",
    "Bearer secre",
    "Basic secret",
    "Bearer \udcff\udcfe",
]


@pytest.mark.parametrize("authorization", ANYTHING_BUT_THE_KEY)
async def test_without_the_key_every_closed_endpoint_is_401(authorization: str) -> None:
    async with http(auth={"api_keys": ["secret", "other"]}) as (web, _):
        for path in CLOSED:
            response = await web.get(path, headers={"Authorization": authorization})
            error = await error_of(response)
            assert (response.status, error["reason"]) == (401, "KEY_NEEDED")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        assert (await web.post("/v1/audio/speech", json={"input": "Hi."})).status == 401
        assert (await web.post("/v1/models/mock/unload")).status == 401


@pytest.mark.parametrize("key", ["secret", "other"])
async def test_each_configured_key_opens(key: str) -> None:
    async with http(auth={"api_keys": ["secret", "other"]}) as (web, _):
        assert (await web.get("/v1/models", headers={"Authorization": f"Bearer {key}"})).status == 200
        assert (await web.get("/v1/models", headers={"Authorization": f"bearer {key}"})).status == 200


async def test_a_caller_that_asks_too_often_has_to_wait_and_others_do_not() -> None:
    keys = {"api_keys": ["secret", "other"]}
    async with http(auth=keys, limits={"requests_per_minute": 2}) as (web, _):
        mine, others = ({"Authorization": f"Bearer {key}"} for key in keys["api_keys"])
        for _ in range(2):
            assert (await web.get("/v1/models", headers=mine)).status == 200
        response = await web.get("/v1/models", headers=mine)
        assert response.status == 429
        assert (await error_of(response))["reason"] == "RATE_LIMITED"
        assert int(response.headers["Retry-After"]) in range(1, 31)
        assert (await web.get("/v1/models", headers=others)).status == 200
        for _ in range(5):
            assert (await web.get("/healthz")).status == 200
            assert (await web.get("/v1/models", headers={"Authorization": "Bearer wrong"})).status == 401


async def test_a_caller_may_have_so_many_websockets_at_once() -> None:
    async with http(limits={"connections_per_caller": 2}) as (web, running):
        url = running.url.replace("http", "ws") + "/v1/speak"
        protocols: Any = ["voiceplane.v1"]
        async with websockets.connect(url, subprotocols=protocols), websockets.connect(url, subprotocols=protocols):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(url, subprotocols=protocols)
            assert refused.value.response.status_code == 429
            assert (await web.get("/readyz")).status == 200


async def test_a_revoked_key_is_refused_without_a_restart(tmp_path: Path) -> None:
    (key, entry), (_, other) = new_key("alice"), new_key("bob")
    file = tmp_path / "keys.yaml"
    write_keys(file, (entry, other))
    async with http(auth={"keys_file": str(file)}, limits={"requests_per_minute": 100_000}) as (web, _):
        headers = {"Authorization": f"Bearer {key}"}
        assert (await web.get("/v1/models", headers=headers)).status == 200
        write_keys(file, (other,))
        while (response := await web.get("/v1/models", headers=headers)).status == 200:
            await response.read()
        assert response.status == 401


def key_protocol(key: str) -> str:
    return "voiceplane.key." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


async def test_a_browser_sends_the_key_as_a_subprotocol_and_it_is_not_sent_back() -> None:
    async with http(auth={"api_keys": ["sécret?>"]}) as (_, running):
        url = running.url.replace("http", "ws") + "/v1/speak"
        protocols: Any = ["voiceplane.v1", key_protocol("sécret?>")]
        async with websockets.connect(url, subprotocols=protocols) as socket:
            assert socket.subprotocol == "voiceplane.v1"


@pytest.mark.parametrize(
    "protocol", [key_protocol("wrong"), "voiceplane.key.", "voiceplane.key.!", "voiceplane.key._-8"]
)
async def test_a_wrong_subprotocol_key_is_401(protocol: str) -> None:
    async with http(auth={"api_keys": ["secret"]}) as (_, running):
        protocols: Any = ["voiceplane.v1", protocol]
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(running.url.replace("http", "ws") + "/v1/speak", subprotocols=protocols)
        assert refused.value.response.status_code == 401


async def test_a_key_alone_is_no_subprotocol_and_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with http(auth={"api_keys": ["secret"]}) as (_, running):
        protocols: Any = [key_protocol("secret")]
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(running.url.replace("http", "ws") + "/v1/speak", subprotocols=protocols)
        assert refused.value.response.status_code == 400
    assert key_protocol("secret") not in caplog.text


async def test_keys_are_compared_whole_and_all_of_them_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    async with http(auth={"api_keys": ["first", "second", "third"]}) as (web, _):
        for key in ("first", "nothing", ""):
            compared.clear()
            await web.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            assert compared == [(32, 32)] * 3, "digests of one length, and not only up to the first match"


ORIGINS = [("http://evil.example", 403), ("null", 403), ("http://[", 403), ("https://friend.example", 200), (None, 200)]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
async def test_only_pages_of_our_own_and_of_allowed_origins_may_change_things(origin: str | None, status: int) -> None:
    server = {"listen": "127.0.0.1:0", "allowed_origins": ["https://friend.example"]}
    async with http(server=server) as (web, running):
        headers = {} if origin is None else {"Origin": origin}
        response = await web.post("/v1/models/mock/load", headers=headers)
        assert response.status == status
        if status == 403:
            assert (await error_of(response))["reason"] == "ORIGIN_REFUSED"
        own = await web.post("/v1/models/mock/load", headers={"Origin": running.url})
        assert own.status == 200


PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}


async def test_a_page_of_an_allowed_origin_may_send_and_read() -> None:
    server = {"listen": "127.0.0.1:0", "allowed_origins": ["https://friend.example"]}
    friend, unknown = {"Origin": "https://friend.example"}, {"Origin": "https://evil.example"}
    async with http(server=server, auth={"api_keys": ["sesame"]}) as (web, _):
        preflight = await web.options("/v1/audio/speech", headers=friend | PREFLIGHT)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://friend.example"
        assert preflight.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        refused = await web.get("/v1/models", headers=friend)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "https://friend.example")
        key = {"Authorization": "Bearer sesame"}
        speech = await web.post("/v1/audio/speech", json={"input": "Hi."}, headers=friend | key)
        assert (speech.status, speech.headers["Access-Control-Allow-Origin"]) == (200, "https://friend.example")
        assert "Voiceplane-Model" in speech.headers["Access-Control-Expose-Headers"]
        for response in (
            await web.options("/v1/audio/speech", headers=unknown | PREFLIGHT),
            await web.get("/v1/models", headers=unknown | key),
        ):
            assert "Access-Control-Allow-Origin" not in response.headers
            assert response.headers["Vary"] == "Origin"


async def test_without_allowed_origins_no_page_may_read() -> None:
    async with http() as (web, running):
        for origin in ("https://evil.example", running.url):
            response = await web.options("/v1/audio/speech", headers={"Origin": origin} | PREFLIGHT)
            assert response.status in {403, 405}
            assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_any_origin_may_be_allowed_where_keys_are_needed() -> None:
    server = {"listen": "127.0.0.1:0", "allowed_origins": ["*"]}
    async with http(server=server, auth={"api_keys": ["sesame"]}) as (web, _):
        headers = {"Origin": "https://any.example", "Authorization": "Bearer sesame"}
        response = await web.post("/v1/audio/speech", json={"input": "Hi."}, headers=headers)
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, "https://any.example")
    with pytest.raises(ValueError, match=r"allowed_origins.*keys"):
        OrchestratorSettings.model_validate({"server": server})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("friend.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("[", 403),
    ],
)
async def test_a_server_without_keys_is_reached_by_its_own_names_only(host: str, status: int) -> None:
    server = {"listen": "127.0.0.1:0", "allowed_origins": ["https://friend.example"]}
    async with http(server=server) as (web, _):
        response = await web.get("/v1/models", headers={"Host": host})
        assert response.status == status
        if status == 403:
            assert (await error_of(response))["reason"] == "HOST_REFUSED"
    async with http(server=server, auth={"api_keys": ["sesame"]}) as (web, _):
        headers = {"Host": host, "Authorization": "Bearer sesame"}
        assert (await web.get("/v1/models", headers=headers)).status == 200


QUICK = {"listen": "127.0.0.1:0", "keepalive_timeout_ms": 200}


@pytest.mark.parametrize("words", [b"", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nX-A: "])
async def test_a_connection_without_a_whole_request_is_closed(words: bytes) -> None:
    async with http(server=QUICK) as (_, running), raw_connection(running.url) as (reader, writer):
        writer.write(words)
        assert await reader.read() == b""


async def test_a_connection_that_drips_headers_is_closed() -> None:
    async with http(server=QUICK) as (_, running), raw_connection(running.url) as (reader, writer):
        ended = asyncio.create_task(reader.read())
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        while not ended.done():
            writer.write(b"X-A: b\r\n")
            await asyncio.wait([ended], timeout=0.05)
        assert await ended == b""
