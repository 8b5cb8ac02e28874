"""Loading models that no worker knows yet: over HTTP, by the command, and by a models file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
from voiceplane_client.worker import Deadlines
from voiceplane_orchestrator.app import Orchestrator
from voiceplane_orchestrator.settings import OrchestratorSettings
from voiceplane_worker.app import Worker
from voiceplane_worker.settings import ModelManagerSection, WorkerSection, WorkerSettings

from tests.support.orchestrators import LoudIsVoice, ScriptedRecognizer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ADMIN = {"Authorization": "Bearer sesame"}
PACK = "model_id: {name}\nfamily: mock\nlicence: CC0-1.0\nvoices: [{{name: {name}, language: en-US}}]\n"


def write_pack(folder: Path, name: str) -> str:
    """A mock pack as a source."""
    (folder / name).mkdir()
    (folder / name / "metadata.yaml").write_text(PACK.format(name=name))
    return (folder / name).as_uri()


async def pitch_hz(web: aiohttp.ClientSession, model: str) -> float:
    """The strongest frequency of what a model speaks."""
    body = {"input": "aaaaaaaa", "model": model, "response_format": "pcm"}
    async with web.post("/v1/audio/speech", json=body) as response:
        assert response.status == 200, await response.text()
        samples = np.frombuffer(await response.read(), "<i2")
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * 48_000 / samples.size)


@contextlib.asynccontextmanager
async def started(**auth: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, Orchestrator]]:
    """An orchestrator with a worker that has room for a base and its adapters."""
    manager = ModelManagerSection(default_model_id="mock", resident_cap=4)
    worker_section = WorkerSection(adapter="mock", listen="127.0.0.1:0")
    async with Worker(WorkerSettings(worker=worker_section, model_manager=manager)) as worker:
        running = orchestrator_of(worker, auth=auth)
        async with running, aiohttp.ClientSession(running.url) as web, asyncio.timeout(60):
            await running.wait_ready(timeout_s=20)
            yield web, running


def orchestrator_of(worker: Worker, **sections: Any) -> Orchestrator:
    settings = OrchestratorSettings.model_validate(
        {"server": {"listen": "127.0.0.1:0"}, "discovery": {"workers": [worker.address]}, **sections}
    )
    return Orchestrator(settings, recognizer=ScriptedRecognizer(), voice_activity=LoudIsVoice)


async def test_two_loras_are_loaded_on_one_base_and_spoken(tmp_path: Path) -> None:
    async with started() as (web, running):
        base = write_pack(tmp_path, "base")
        async with web.post("/v1/models/base/load", json={"source": base, "residency": "pinned"}) as response:
            assert (response.status, await response.json()) == (
                200,
                {"id": "base", "workers": {running.settings.discovery.workers[0]: "resident"}},
            )
        for name in ("anna", "ben"):
            body = {"source": {"uri": write_pack(tmp_path, name)}, "family": "mock", "base": "base", "voices": [name]}
            async with web.post(f"/v1/models/{name}/load", json=body) as response:
                assert response.status == 200, await response.text()
        plain, adapted = await pitch_hz(web, "base"), [await pitch_hz(web, name) for name in ("anna", "ben")]
        assert np.allclose(adapted, plain * 2 ** (7 / 12), rtol=0.01), "an adapter speaks a fifth above its base"
        models = {model["id"]: model for model in (await (await web.get("/v1/models")).json())["models"]}
        assert models["base"]["workers"][0]["references"] == 2, "both adapters hold the one base"
        assert [voice["name"] for voice in models["anna"]["voices"]] == ["anna"]


async def test_only_an_admin_may_describe_a_model(tmp_path: Path) -> None:
    body = {"source": write_pack(tmp_path, "anna")}
    async with started(api_keys=["plain"], admin_keys=["sesame"]) as (web, _):
        for headers, status in (({"Authorization": "Bearer plain"}, 403), (ADMIN, 200), ({}, 401)):
            async with web.post("/v1/models/anna/load", json=body, headers=headers) as response:
                assert response.status == status
                if status == 403:
                    assert (await response.json())["error"]["reason"] == "ADMIN_KEY_NEEDED"
        async with web.post("/v1/models/anna/load", headers={"Authorization": "Bearer plain"}) as response:
            assert response.status == 200, "a model that a worker knows may be loaded with any key"


async def test_a_speech_file_names_the_model_that_speaks(tmp_path: Path) -> None:
    async with started() as (web, _):
        slow = {"source": write_pack(tmp_path, "slow"), "options": {"load_ms": 500}, "wait": False}
        async with web.post("/v1/models/slow/load", json=slow) as response:
            assert response.status == 202
        for model, fallback in (("slow", "slow"), ("mock", None)):
            async with web.post("/v1/audio/speech", json={"input": "Hi.", "model": model}) as response:
                assert response.headers["Voiceplane-Model"] == "mock"
                assert response.headers.get("Voiceplane-Fallback") == fallback


async def test_a_load_that_fails_says_why(tmp_path: Path) -> None:
    async with started() as (web, _):
        (tmp_path / "empty").mkdir()
        source = (tmp_path / "empty").as_uri()
        for body, status, reason in (
            ({"source": source, "family": "mock"}, 409, "PACK_INVALID"),
            ({"source": source, "family": "xtts9"}, 409, "FAMILY_NOT_INSTALLED"),
            ({"source": source, "base": "none"}, 404, "BASE_MODEL_NOT_FOUND"),
            ({"source": source, "fam": "mock"}, 400, "INVALID_MESSAGE"),
        ):
            async with web.post("/v1/models/anna/load", json=body) as response:
                assert (response.status, (await response.json())["error"]["reason"]) == (status, reason)


async def test_a_load_may_take_longer_than_a_call(tmp_path: Path) -> None:
    async with started() as (web, running):
        (worker,) = running._router._workers.values()
        worker.client.deadlines = Deadlines(load=0.1)
        body = {"source": write_pack(tmp_path, "slow"), "options": {"load_ms": 700}}
        async with web.post("/v1/models/slow/load", json=body) as response:
            assert response.status == 200, await response.text()
        async with web.post("/v1/models/none/load", json={"source": "file:///none"}) as response:
            assert response.status == 409, "a load that fails ends the wait"


async def test_a_load_need_not_be_waited_for(tmp_path: Path) -> None:
    async with started() as (web, _):
        body = {"source": write_pack(tmp_path, "anna"), "wait": False}
        async with web.post("/v1/models/anna/load", json=body) as response:
            assert response.status == 202
            assert set((await response.json())["workers"].values()) <= {"fetching", "loading", "warming", "resident"}
        async with web.post("/v1/models/anna/load") as response:
            assert response.status == 200, "the load under way is joined"


async def test_the_command_loads_a_lora_from_a_folder(tmp_path: Path) -> None:
    async with started(admin_keys=["sesame"]) as (_, running):
        write_pack(tmp_path, "base")
        write_pack(tmp_path, "anna")

        async def load(*arguments: str) -> dict[str, Any]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "voiceplane_cli.main", "models", "load", *arguments, "--json",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "VOICEPLANE_SERVER": running.url, "VOICEPLANE_API_KEY": "sesame"},
            )  # fmt: skip
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            model: dict[str, Any] = json.loads(out)
            return model

        await load("base", "--source", str(tmp_path / "base"))
        lora = ("--family", "mock", "--base", "base", "--voice", "anna=de", "--option", "load_ms=1")
        anna = await load("anna", "--source", str(tmp_path / "anna"), *lora)
        assert (anna["voices"], anna["workers"][0]["state"]) == (["anna"], "resident")


async def test_models_of_a_file_are_there_after_a_restart_and_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    packs = {name: write_pack(tmp_path, name) for name in ("base", "anna", "ben")}

    def write(*names: str) -> None:
        entries = [
            {"modelId": name, "source": {"uri": packs[name]}, "residency": "preload"}
            | ({} if name == "base" else {"baseModelId": "base"})
            for name in names
        ]
        fresh = tmp_path / "fresh"
        fresh.write_text(json.dumps({"models": entries}))
        fresh.replace(file)

    def settings(listen: str = "127.0.0.1:0") -> WorkerSettings:
        return WorkerSettings(
            worker=WorkerSection(adapter="mock", listen=listen, models_file=str(file)),
            model_manager=ModelManagerSection(default_model_id="mock", resident_cap=4),
        )

    async def until_resident(running: Orchestrator, *names: str) -> None:
        def resident() -> set[str]:
            models = [model for worker in running._router.workers() if worker.connected for model in worker.models]
            return {model.model_id for model in models if model.resident}

        while resident() != {"mock", *names}:
            await running._router.wait_changed(timeout_s=1)

    write("anna", "base")
    async with Worker(settings()) as worker:
        address = worker.address
        async with (
            orchestrator_of(worker) as running,
            aiohttp.ClientSession(running.url) as web,
            asyncio.timeout(60),
        ):
            await until_resident(running, "base", "anna")
            write("base", "ben")
            await until_resident(running, "base", "ben")
            await worker.stop(drain_timeout_s=0)
            async with Worker(settings(address)):
                await until_resident(running, "base", "ben")
                assert await pitch_hz(web, "ben") > await pitch_hz(web, "base")
