"""A real worker fetches a declared voice ahead, reports how far it is, and needs no source for the load."""

from __future__ import annotations

import asyncio
import random
import tarfile
from typing import TYPE_CHECKING

from voiceplane_client import WorkerClient
from voiceplane_common.artifacts import digest
from voiceplane_proto.v1 import tts_pb2

from tests.support import file_server, processes
from tests.support.file_server import Served
from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MODEL = random.Random(5).randbytes(2_000_000)
TIMEOUT_S = 60.0


async def test_a_declared_voice_is_fetched_ahead_and_then_loads_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = file_server.certificates(tmp_path / "certificates")
    with tarfile.open(tmp_path / "alba.tar", "w") as archive:
        archive.add(write_pack(tmp_path / "alba", "alba", files={"model": MODEL}), ".")
    body, sha256 = (tmp_path / "alba.tar").read_bytes(), digest(tmp_path / "alba.tar")
    for name, value in {
        "SSL_CERT_FILE": certificates["ca_file"],
        "VOICEPLANE_CACHE_DIR": str(tmp_path / "cache"),
        "VOICEPLANE_MODEL_MANAGER__PREFETCH": "true",
        "VOICEPLANE_WORKER__PRIVATE_SOURCES": '["127.0.0.0/8", "::1/128"]',
    }.items():
        monkeypatch.setenv(name, value)
    with file_server.file_server(certificates) as web:
        web.files["/alba.tar"] = Served(body, bytes_per_s=1_000_000)
        models = tmp_path / "models.yaml"
        source = f"{{uri: '{web.url}/alba.tar', sha256: {sha256}}}"
        models.write_text(f"models:\n- {{modelId: alba, family: mock, source: {source}}}\n", encoding="utf-8")
        flags = ("--models-file", str(models), "--default-model", "mock")
        async with processes.worker(*flags) as (address, _), WorkerClient(address) as client:
            seen: list[tts_pb2.ModelStatus] = []
            async with asyncio.timeout(TIMEOUT_S):
                async for state in client.watch_state():
                    seen.append(next(each for each in state.models if each.model_id == "alba"))
                    if seen[-1].prefetched:
                        break
            assert {each.state for each in seen} == {tts_pb2.MODEL_STATE_ABSENT}
            halfway = [each for each in seen if 0 < each.fetched_bytes < len(body)]
            assert any(each.fetch_bytes == len(body) and each.fetch_bytes_per_s > 0 for each in halfway)
            web.files.clear()
            loaded = await client.load_model(tts_pb2.LoadModelRequest(model_id="alba"))
            assert loaded.model.state == tts_pb2.MODEL_STATE_RESIDENT
            assert not loaded.model.prefetched
