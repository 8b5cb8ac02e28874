"""`voiceplane compare` with a real worker: straight, through an orchestrator, and with one of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from voiceplane_cli.comparison import compare as comparing
from voiceplane_cli.comparison import compare_target
from voiceplane_cli.comparison.recordings import Script
from voiceplane_client import WorkerClient
from voiceplane_proto.v1 import tts_pb2

from tests.support import processes

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.test_utils import TestServer

    from tests.support.scripted_server import Peer, ScriptedServer

TEXT = "The train to the coast leaves at noon."
MODELS = ("en_US-joe-medium", "kokoro-82m-int8", "mock")


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str

    def models(self) -> dict[str, dict[str, Any]]:
        return {each["model"]: each for each in json.loads(self.out)["models"]}


async def compare(*arguments: str, **env: str) -> Result:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voiceplane_cli.main", "compare", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **env},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Result(process.returncode, out, err.decode())


@pytest.mark.timeout(240)
async def test_the_families_of_a_worker_are_heard_and_measured(tmp_path: Path) -> None:
    page, folder = tmp_path / "report.html", tmp_path / "wavs"
    async with processes.worker("--default-model", MODELS[0]) as (address, _), WorkerClient(address) as client:
        result = await compare(
            TEXT, "--models", f"{','.join(MODELS)},none", "--repeat", "2", "--worker", address, "--language", "en-US",
            "--html", str(page), "--out", str(folder), "--transcribe", "--json",
        )  # fmt: skip
        resident = {each.model_id for each in await client.list_models() if each.state == tts_pb2.MODEL_STATE_RESIDENT}
    assert result.code == 1, "one of the models is unknown"
    found = result.models()
    assert list(found) == [*MODELS, "none"], "in the order that was asked for"
    assert "unknown model 'none'" in found.pop("none")["error"]
    assert "none: unknown model 'none'" in result.err
    assert resident == set(MODELS), "what was loaded is left to its TTL"

    assert {name: each["family"] for name, each in found.items()} == dict(
        zip(MODELS, ("piper", "kokoro", "mock"), strict=True)
    )
    for name, each in found.items():
        assert each["error"] is None
        assert each["first_audio_ms"]["count"] == each["rtf"]["count"] == 2
        assert 0 < each["first_audio_ms"]["p50"] <= each["first_audio_ms"]["p95"]
        assert 0 < each["rtf"]["p50"] < 4, "computing time, which the pace of speech does not hide"
        assert each["integrated_lufs"] == pytest.approx(-16, abs=2.5)
        assert -20 < each["peak_dbfs"] <= 0
        assert each["memory_bytes"] > 0
        assert (each["load_ms"] is None) == (name == MODELS[0]), "that one was resident"
        assert (each["cold_first_audio_ms"] is None) == (name == MODELS[0])
        with wave.open(str(folder / f"{name}.wav")) as file:
            assert file.getnframes() / 48 == pytest.approx(each["duration_ms"], abs=0.1)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
        assert np.abs(samples).max() > 3000
    assert found["mock"]["rtf"]["p50"] < found["kokoro-82m-int8"]["rtf"]["p50"]
    assert found["mock"]["word_error_rate"] == 1
    for name in MODELS[:2]:
        assert found[name]["word_error_rate"] <= 0.4, found[name]["transcript"]
    assert page.read_text(encoding="utf-8").count("<audio ") == 3


async def test_through_an_orchestrator_the_cost_is_reported_too() -> None:
    async with (
        processes.worker("--default-model", "mock") as (address, _),
        processes.orchestrator("--workers", address, "--default-model", "mock") as (url, _),
    ):
        result = await compare(TEXT, "--models", "mock", "--repeat", "1", "--server", url, "--cold", "--json")
    assert result.code == 0, result.err
    mock = result.models()["mock"]
    assert mock["rtf"]["count"] == mock["first_audio_ms"]["count"] == 1
    assert 0 < mock["rtf"]["p50"] < 0.5
    assert mock["load_ms"] > 0, "it was unloaded first"
    assert mock["voice"] == "low"


async def test_where_nothing_runs_a_worker_lives_as_long_as_the_comparison(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_target, "DEFAULT_URL", f"http://127.0.0.1:{processes.free_port()}")
    before = set(psutil.Process().children())  # servers of other tests may go on
    async with compare_target.compare_target(server=None, worker=None, api_key="", models=9) as source:
        (child,) = set(psutil.Process().children()) - before
        assert "9" in child.cmdline(), "it holds all models at once"
        (mock,) = await comparing.compare(source, ["mock"], Script(text="Hi."), repeat=1, progress=print)
    assert mock.error == ""
    assert len(mock.recordings) == 1
    assert not child.is_running()
    assert "starting a worker for this command" in capsys.readouterr().err


async def test_another_model_in_its_place_is_an_error_and_not_a_measurement(
    scripted: ScriptedServer, server: TestServer
) -> None:
    async def script(peer: Peer) -> None:
        while isinstance(message := await peer.next(), dict) and not message["end"]:
            pass
        await peer.event("utterance", utterance=1, epoch=1, model="amy", voice="a", fallback=True)
        await peer.frames(epoch=1, utterance=1, count=2)
        await peer.event("done", utterance=1, epoch=1, result="complete", samples=1920)
        await peer.next()

    scripted.script = script
    result = await compare("Hi.", "--models", "joe", "--server", str(server.make_url("")), "--json")
    assert result.code == 1
    assert result.models()["joe"]["error"].startswith("amy spoke instead")
    assert result.models()["joe"]["duration_ms"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "remedy"),
    [
        (["Hi.", "--models", ","], 2, "--models names none"),
        (["Hi.", "--models", "a,a"], 2, "names a twice"),
        (["Hi.", "--models", "a", "--repeat", "0"], 2, "Invalid value for '--repeat'"),
        (["Hi.", "--models", "a", "--html", "/no/such/folder/r.html"], 2, "cannot write"),
        (["Hi.", "--models", "a", "--worker", "127.0.0.1:1"], 3, "correct --worker"),
        (["Hi.", "--models", "a", "--server", "http://127.0.0.1:1"], 3, "voiceplane demo"),
    ],
)
async def test_a_mistake_names_its_remedy(arguments: list[str], code: int, remedy: str) -> None:
    result = await compare(*arguments)
    assert result.code == code
    assert remedy in result.err
