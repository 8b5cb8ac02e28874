"""`voiceplane demo` with a real orchestrator and worker, and the other commands against it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import wave
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from voiceplane_cli.local_stack import free_port

if TYPE_CHECKING:
    from pathlib import Path

VOICEPLANE = (sys.executable, "-m", "voiceplane_cli.main")


async def voiceplane(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *VOICEPLANE, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out


async def test_demo_serves_until_interrupted_and_leaves_no_process_behind(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    demo = await asyncio.create_subprocess_exec(
        *VOICEPLANE, "demo", "--port", str(port), "--model", "mock", "--no-open",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    family = [psutil.Process(demo.pid)]
    try:
        assert demo.stdout is not None
        ready = await asyncio.wait_for(demo.stdout.readline(), 90)
        assert ready.decode().strip() == f"Voiceplane is ready: {url}"
        family += family[0].children(recursive=True)
        assert len(family) >= 2

        said = json.loads(await voiceplane("say", "Hello there.", "-o", f"{tmp_path}/x.wav", "--json", "--server", url))
        assert said["model"] == "mock"
        with wave.open(f"{tmp_path}/x.wav") as file:
            assert file.getnframes() / 48 == pytest.approx(said["duration_ms"], abs=0.1)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert np.abs(samples).max() > 1000, "silence was spoken"

        listed = json.loads(await voiceplane("models", "list", "--json", "--server", url))["models"]
        assert {model["model_id"]: model["workers"][0]["state"] for model in listed}["mock"] == "resident"
        (worker,) = json.loads(await voiceplane("workers", "--json", "--server", url))["workers"]
        assert worker["ready"] is True
        shown = json.loads(await voiceplane("top", "--json", "--server", url))
        assert (shown["sessions"], shown["workers"], shown["models"][0]["model_id"]) == ({}, [worker], "mock")
        assert shown["latencies"]["first audio of texts"]["p95_ms"] > 0
        assert b"first audio of texts" in await voiceplane("top", "--once", "--server", url)
        direct = json.loads(await voiceplane("workers", "--json", "--worker", worker["address"]))["workers"]
        assert direct[0]["worker_id"] == worker["worker_id"]
        assert b"resident" in await voiceplane("models", "reload", "mock", "--worker", worker["address"])

        demo.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(demo.wait(), 30) == 130
        _, left = await asyncio.to_thread(psutil.wait_procs, family[1:], timeout=10)
        assert left == []
    finally:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await demo.communicate()
