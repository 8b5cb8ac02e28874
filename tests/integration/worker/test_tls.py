"""Mutual TLS with a real worker: who is let in, who is not, and certificates that are renewed under way."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.tls import ClientTlsSection, ServerTlsSection
from voiceplane_orchestrator.discovery.static import StaticDiscovery
from voiceplane_orchestrator.routing.router import Router
from voiceplane_orchestrator.settings import OrchestratorSettings, RoutingSection
from voiceplane_worker.app import Worker

from tests.support.certificates import Authority
from tests.support.processes import free_port
from tests.support.workers import mock_worker_settings, say, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def worker(tls: ServerTlsSection, **settings: object) -> AsyncIterator[Worker]:
    plain = mock_worker_settings()
    section = plain.worker.model_copy(update=settings)
    async with Worker(plain.model_copy(update={"worker": section, "tls": tls})) as running:
        yield running


def server(authority: Authority, folder: Path, name: str = "voiceplane-worker") -> ServerTlsSection:
    return ServerTlsSection.model_validate(authority.issue(folder / "server", name))


def client(authority: Authority, folder: Path, name: str = "voiceplane-client") -> ClientTlsSection:
    return ClientTlsSection.model_validate(authority.issue(folder / "client", name))


async def refusal(address: str, tls: ClientTlsSection | None) -> VoiceplaneError:
    async with WorkerClient(address, tls=tls) as caller:
        with pytest.raises(VoiceplaneError) as caught:
            await caller.capabilities()
    return caught.value


async def test_both_sides_show_a_certificate_and_then_speak(tmp_path: Path) -> None:
    authority = Authority()
    async with (
        worker(server(authority, tmp_path)) as running,
        WorkerClient(running.address, tls=client(authority, tmp_path)) as caller,
    ):
        assert await caller.healthy()
        async with await caller.start_session() as session:
            assert await say(session, "Hello there.")
        states = caller.watch_state()
        assert (await anext(states)).ready
        await states.aclose()


async def test_who_has_no_certificate_of_the_authority_is_not_let_in(tmp_path: Path) -> None:
    authority = Authority()
    async with worker(server(authority, tmp_path)) as running:
        assert (await refusal(running.address, None)).reason == "UNAVAILABLE"
        strange = client(Authority(), tmp_path / "strange")
        assert (await refusal(running.address, strange)).reason == "UNAVAILABLE"
        trusting = strange.model_copy(update={"ca_file": client(authority, tmp_path).ca_file})
        assert (await refusal(running.address, trusting)).reason == "UNAVAILABLE"
        expired = ClientTlsSection.model_validate(
            authority.issue(tmp_path / "expired", "voiceplane-client", expired=True)
        )
        assert (await refusal(running.address, expired)).reason == "UNAVAILABLE"


async def test_a_server_with_another_name_is_not_called(tmp_path: Path) -> None:
    authority = Authority()
    async with worker(server(authority, tmp_path, name="mallory")) as running:
        assert (await refusal(running.address, client(authority, tmp_path))).reason == "UNAVAILABLE"


async def test_a_certificate_of_another_name_is_refused_whatever_it_calls(tmp_path: Path) -> None:
    authority = Authority()
    async with worker(server(authority, tmp_path)) as running:
        other = client(authority, tmp_path, name="voiceplane-worker")
        error = await refusal(running.address, other)
        assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_REFUSED")
        assert "tls.allowed_clients (voiceplane-client)" in error.message
        async with WorkerClient(running.address, tls=other) as caller:
            assert not await caller.healthy()
            with pytest.raises(VoiceplaneError, match="allowed_clients"):
                await anext(caller.watch_state())
            with pytest.raises(VoiceplaneError, match="allowed_clients"):
                await caller.start_session()
        open_to_all = running.settings.tls.model_copy(update={"allowed_clients": ()})
    async with worker(open_to_all) as running, WorkerClient(running.address, tls=other) as caller:
        assert await caller.healthy()


async def test_certificates_are_renewed_while_a_session_speaks(tmp_path: Path) -> None:
    authority = Authority()
    mine = client(authority, tmp_path)
    async with (
        worker(server(authority, tmp_path)) as running,
        WorkerClient(running.address, tls=mine) as caller,
        await caller.start_session() as session,
        session.open_stream() as stream,
    ):
        await stream.send("A sentence that is long enough to go on for a while.", utterance_id="u", end=True)
        await stream.finish()
        source = aiter(stream)
        frames = await take(source, 3)
        authority = Authority("another-ca")  # as hard as it comes: nothing of before is accepted any more
        authority.issue(tmp_path / "server", "voiceplane-worker")
        assert (await refusal(running.address, mine)).reason == "UNAVAILABLE"
        authority.issue(tmp_path / "client", "voiceplane-client")
        caller.renew()
        assert await caller.healthy()
        frames += [frame async for frame in source]
        assert frames[-1].end


async def test_a_server_whose_new_files_are_broken_goes_on_with_the_ones_before(tmp_path: Path) -> None:
    authority = Authority()
    mine = client(authority, tmp_path)
    async with worker(server(authority, tmp_path)) as running:
        (tmp_path / "server" / "tls.key").write_text("half of a fi", encoding="utf-8")
        async with WorkerClient(running.address, tls=mine) as caller:
            assert await caller.healthy()


async def test_probes_are_answered_in_plain_text_and_nothing_else_is(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    async with worker(server(Authority(), tmp_path), health_listen=listen):
        async with grpc.aio.insecure_channel(listen) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)  # type: ignore[attr-defined]  # its stubs lack the methods
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert (await refusal(listen, None)).code is grpc.StatusCode.UNIMPLEMENTED


async def test_the_router_finds_a_worker_over_tls_again_after_its_authority_has_changed(tmp_path: Path) -> None:
    authority = Authority()
    address = f"127.0.0.1:{free_port()}"
    tls, mine = server(authority, tmp_path), client(authority, tmp_path)
    async with (
        asyncio.timeout(60),
        Router(discovery=StaticDiscovery([address]), settings=RoutingSection(), tls=mine) as router,
    ):
        async with worker(tls, listen=address):
            await router.wait_for_worker(timeout_s=20)
        authority = Authority("another-ca")
        authority.issue(tmp_path / "server", "voiceplane-worker")
        authority.issue(tmp_path / "client", "voiceplane-client")
        async with worker(tls, listen=address):
            while not router.ready:
                await router.wait_for_worker(timeout_s=20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ca_file": "/nowhere"}, "tls.ca_file"),
        ({"cert_file": "/nowhere"}, "tls.cert_file"),
        ({"ca_file": "KEY"}, "tls.ca_file"),
        ({"cert_file": "KEY"}, "tls.cert_file"),
        ({"key_file": "CA"}, "tls.cert_file"),
    ],
)
async def test_files_that_are_no_certificates_are_named_at_the_start(
    tmp_path: Path, change: dict[str, str], field: str
) -> None:
    tls = server(Authority(), tmp_path)
    words = {"KEY": tls.key_file, "CA": tls.ca_file}
    broken = tls.model_copy(update={name: words.get(value, value) for name, value in change.items()})
    with pytest.raises(VoiceplaneError) as caught:
        async with worker(broken):
            pass
    assert caught.value.field == field


def test_a_part_of_the_files_is_refused() -> None:
    with pytest.raises(ValueError, match="give all three"):
        ServerTlsSection(ca_file="/etc/ca.crt")


def test_an_embedded_worker_has_no_tls(tmp_path: Path) -> None:
    files = client(Authority(), tmp_path).model_dump(mode="json")
    with pytest.raises(ValueError, match="remove worker_tls"):
        OrchestratorSettings.model_validate({"discovery": {"kind": "embedded"}, "worker_tls": files})
