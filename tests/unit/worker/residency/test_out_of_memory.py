"""A device that runs out of memory, at a load and in speech: a mock family with an allocator's limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from voiceplane_client import WorkerClient
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.adapters import devices
from voiceplane_worker.adapters.devices import MemoryReading, read_memory
from voiceplane_worker.adapters.out_of_memory import free_bytes, is_out_of_memory, needed_bytes
from voiceplane_worker.app import Worker
from voiceplane_worker.settings import ModelManagerSection, WorkerSection, WorkerSettings

from tests.support.voicepacks import write_pack
from tests.support.workers import pcm, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

DEVICE_BYTES = 10_000_000


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


@pytest.fixture
async def client(packs: Path) -> AsyncIterator[WorkerClient]:
    """A worker whose mock models share a device of limited memory."""
    sizes = {"a": 4_000_000, "b": 5_000_000, "c": 4_000_000, "huge": 11_000_000}
    for name, size in sizes.items():
        options = {"memory_bytes": str(size), "device_bytes": str(DEVICE_BYTES)}
        write_pack(packs / "mock" / name, name, options=options)
    greedy = {"memory_bytes": "1000", "device_bytes": str(DEVICE_BYTES), "speech_bytes": "4000000"}
    write_pack(packs / "mock" / "greedy", "greedy", options=greedy)
    settings = WorkerSettings(
        worker=WorkerSection(adapter="mock", listen="127.0.0.1:0", packs_dir=str(packs), compute_workers=1),
        model_manager=ModelManagerSection(default_model_id="", resident_cap=10),
    )
    async with Worker(settings) as worker, WorkerClient(worker.address) as client, asyncio.timeout(30):
        yield client


async def load(client: WorkerClient, model_id: str) -> None:
    await client.load_model(tts_pb2.LoadModelRequest(model_id=model_id))


async def states(client: WorkerClient) -> dict[str, str]:
    models = await client.list_models()
    return {model.model_id: tts_pb2.ModelState.Name(model.state).removeprefix("MODEL_STATE_") for model in models}


async def start(client: WorkerClient, model_id: str) -> Any:
    return await client.start_session(tts_pb2.StartSessionRequest(model_id=model_id))


async def test_a_load_evicts_idle_models_and_is_tried_once_more(client: WorkerClient) -> None:
    await load(client, "a")
    session = await start(client, "a")
    await load(client, "b")
    await load(client, "c")
    told = await states(client)
    assert (told["a"], told["b"], told["c"]) == ("RESIDENT", "ABSENT", "RESIDENT"), "b was idle"
    assert pcm(await say(session, "Still here."))
    await session.end()


async def test_a_load_that_still_does_not_fit_says_what_was_needed_and_free(client: WorkerClient) -> None:
    await load(client, "a")
    session = await start(client, "a")
    with pytest.raises(VoiceplaneError) as caught:
        await load(client, "huge")
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DEVICE_OUT_OF_MEMORY")
    for fact in ("11000000 bytes failed", "6000000 bytes were free", "no idle model"):
        assert fact in error.message
    (huge,) = (model for model in await client.list_models() if model.model_id == "huge")
    assert (huge.state, huge.reason) == (tts_pb2.MODEL_STATE_FAILED, "DeviceOutOfMemory")
    assert pcm(await say(session, "Still here."))
    await session.end()


async def test_speech_evicts_idle_models_and_goes_on(client: WorkerClient) -> None:
    await load(client, "greedy")
    alone = await start(client, "greedy")
    expected = pcm(await say(alone, "A sentence. And another one."))
    await alone.end()
    await load(client, "a")
    await load(client, "b")
    session = await start(client, "greedy")
    assert pcm(await say(session, "A sentence. And another one.")) == expected
    told = await states(client)
    assert (told["a"], told["b"], told["greedy"]) == ("ABSENT", "ABSENT", "RESIDENT")
    await session.end()


async def test_speech_that_has_no_memory_fails_and_its_session_lives(client: WorkerClient) -> None:
    await load(client, "greedy")
    session = await start(client, "greedy")
    others = []
    for model_id in ("a", "c"):
        await load(client, model_id)
        others.append(await start(client, model_id))
    with pytest.raises(VoiceplaneError) as caught:
        await say(session, "A sentence.")
    assert caught.value.reason == "DEVICE_OUT_OF_MEMORY"
    assert "4000000 bytes failed" in caught.value.message
    for other in others:
        assert pcm(await say(other, "Still here."))
        await other.end()
    assert pcm(await say(session, "A sentence.", utterance_id="u2")), "the idle models made room for it"
    await session.end()


class TorchError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "is_one", "needed", "free"),
    [
        (
            TorchError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB of which "
            "512.00 MiB is free."),
            True,
            2 << 30,
            512 << 20,
        ),
        (RuntimeError("OutOfMemoryError: CUDA out of memory."), True, 0, None),
        (RuntimeError("[ONNXRuntimeError] : 6 : BFCArena: Failed to allocate memory for a buffer"), True, 0, None),
        (MemoryError(), True, 0, None),
        (RuntimeError("size mismatch"), False, 0, None),
        (ValueError("out of memory"), False, 0, None),
    ],
)  # fmt: skip
def test_out_of_memory_is_recognized_by_what_libraries_say(
    error: Exception, is_one: bool, needed: int, free: int | None
) -> None:
    assert is_out_of_memory(error) is is_one
    if is_one:
        assert (needed_bytes(error), free_bytes(error)) == (needed, free)


class FakeNvml:
    """The part of pynvml that is used: two GPUs."""

    class NVMLError(Exception):
        pass

    class Info:
        def __init__(self, total: int, free: int) -> None:
            self.total, self.free = total, free

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802  # the library's names
        if index > 1:
            raise self.NVMLError
        return index

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
        return {"GPU-one": 1}[name]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Info:  # noqa: N802
        return self.Info(total=100 * (handle + 1), free=50)


@pytest.mark.parametrize(
    ("device", "visible", "total"),
    [
        ("cuda", "", 100),
        ("cuda:1", "", 200),
        ("cuda:0", "1", 200),
        ("cuda", "GPU-one", 200),
        ("cuda:7", "", None),
        ("cpu", "", None),
    ],
)
def test_memory_is_that_of_the_gpu_that_cuda_uses(
    monkeypatch: pytest.MonkeyPatch, device: str, visible: str, total: int | None
) -> None:
    fake: Callable[[], Any] = FakeNvml
    monkeypatch.setattr(devices, "_nvml", fake)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    expected = None if total is None else MemoryReading(total_bytes=total, free_bytes=50)
    assert read_memory(device) == expected
    assert devices.memory_budget_bytes(device) == (45 if total else 0)
