"""A real worker fetches a declared voice ahead, reports how far it is, and needs no source for the load."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from voiceplane_client import WorkerClient
from voiceplane_common.artifacts import digest
from voiceplane_proto.v1 import tts_pb2

from tests.support import file_server, processes
from tests.support.file_server import Served
from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.file_server import FileServer

MODEL = random.Random(5).randbytes(2_000_000)
TIMEOUT_S = 60.0


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with a voice; workers of the test trust it, and have an empty cache."""
    certificates = file_server.certificates(tmp_path / "certificates")
    with tarfile.open(tmp_path / "alba.tar", "w") as archive:
        archive.add(write_pack(tmp_path / "alba", "alba", files={"model": MODEL}), ".")
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca_file"])
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VOICEPLANE_WORKER__PRIVATE_SOURCES", '["127.0.0.0/8", "::1/128"]')
    with file_server.file_server(certificates) as running:
        running.files["/alba.tar"] = Served((tmp_path / "alba.tar").read_bytes())
        yield running


@pytest.fixture
def models(web: FileServer, tmp_path: Path) -> Path:
    """A models file with that voice."""
    source = f"{{uri: '{web.url}/alba.tar', sha256: {digest(tmp_path / 'alba.tar')}}}"
    file = tmp_path / "models.yaml"
    file.write_text(f"models:\n- {{modelId: alba, family: mock, source: {source}}}\n", encoding="utf-8")
    return file


async def test_a_declared_voice_is_fetched_ahead_and_then_loads_offline(
    web: FileServer, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEPLANE_MODEL_MANAGER__PREFETCH", "true")
    served = web.files["/alba.tar"]
    served.bytes_per_s = 1_000_000
    flags = ("--models-file", str(models), "--default-model", "mock")
    async with processes.worker(*flags) as (address, _), WorkerClient(address) as client:
        seen: list[tts_pb2.ModelStatus] = []
        async with asyncio.timeout(TIMEOUT_S):
            async for state in client.watch_state():
                seen.append(next(each for each in state.models if each.model_id == "alba"))
                if seen[-1].prefetched:
                    break
        assert {each.state for each in seen} == {tts_pb2.MODEL_STATE_ABSENT}
        size = len(served.body)
        halfway = [each for each in seen if 0 < each.fetched_bytes < size]
        assert any(each.fetch_bytes == size and each.fetch_bytes_per_s > 0 for each in halfway)
        web.files.clear()
        loaded = await client.load_model(tts_pb2.LoadModelRequest(model_id="alba"))
        assert loaded.model.state == tts_pb2.MODEL_STATE_RESIDENT
        assert not loaded.model.prefetched


def test_prefetch_only_fills_the_cache_and_exits(web: FileServer, models: Path) -> None:
    command = [sys.executable, "-m", "voiceplane_worker", "--prefetch-only", "--default-model", "mock"]
    command += ["--models-file", str(models)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert web.sent_bytes == len(web.files["/alba.tar"].body)
    web.files.clear()
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, "what is in the cache is asked for again"
    models.write_text("models:\n- {modelId: b, family: mock, source: {uri: '" + web.url + "/gone.tar'}}\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "ARTIFACT_MISSING" in done.stderr + done.stdout
