"""The children of `demo`: a stand-in for the orchestrator with the same endpoints, and a child of its own."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from voiceplane_cli.local_stack import Stack, StackOptions, command, free_port, require_components
from voiceplane_cli.output import CliError

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """
import subprocess, sys, signal
from aiohttp import web
port, deaf = int(sys.argv[1]), sys.argv[2] == "deaf"
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
asked = 0
async def ready(request):
    global asked
    asked += 1
    return web.Response(status=200 if asked > 2 else 503)
async def models(request):
    place = {"worker": "w", "state": "loading"}
    return web.json_response({"models": [{"id": "joe", "workers": [place]}]})
app = web.Application()
app.add_routes([web.get("/readyz", ready), web.get("/v1/models", models)])
async def on_startup(app):
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
app.on_startup.append(on_startup)
web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=not deaf)
"""


def stand_in(*, port: int, manner: str = "polite") -> list[str]:
    return [sys.executable, "-c", STAND_IN, str(port), manner]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("manner", ["polite", "deaf"])
async def test_it_waits_until_ready_and_leaves_no_process_behind(manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceplane_cli.local_stack.STOP_GRACE_S", 1.0)
    port = free_port()
    told: list[str] = []
    async with Stack(stand_in(port=port, manner=manner), url=f"http://127.0.0.1:{port}") as stack:
        await stack.ready(told.append, deadline_s=60)
        family = [psutil.Process(stack.pid), *psutil.Process(stack.pid).children(recursive=True)]
        assert len(family) == 2
    assert told[-1] == "loading joe"
    _, left = await asyncio.to_thread(psutil.wait_procs, family, timeout=10)
    assert alive(left) == []


async def test_a_cancelled_wait_leaves_no_process_behind() -> None:
    family: list[psutil.Process] = []
    started = asyncio.Event()

    async def run() -> None:
        port = free_port()
        async with Stack(stand_in(port=port), url=f"http://127.0.0.1:{port}") as stack:
            await stack.ready(lambda _: None, deadline_s=60)
            family.extend([psutil.Process(stack.pid), *psutil.Process(stack.pid).children(recursive=True)])
            started.set()
            await stack.ended()

    running = asyncio.create_task(run())
    await asyncio.wait_for(started.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    _, left = await asyncio.to_thread(psutil.wait_procs, family, timeout=10)
    assert alive(left) == []


def only_file(folder: Path) -> tuple[str, str]:
    (file,) = folder.iterdir()
    return str(file), file.read_text()


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


async def test_a_stack_that_dies_tells_its_last_words_and_keeps_its_log(logs: Path) -> None:
    line = [sys.executable, "-c", "import sys; sys.exit('no room for the model')"]
    with pytest.raises(CliError, match="status 1; its last words: no room for the model") as caught:
        async with Stack(line, url=f"http://127.0.0.1:{free_port()}") as stack:
            await stack.ready(lambda _: None, deadline_s=60)
    path, words = only_file(logs)
    assert path in caught.value.message
    assert "no room" in words


async def test_a_stack_that_is_never_ready_ends_with_the_deadline(logs: Path) -> None:
    line = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(CliError, match="not ready after"):
        async with Stack(line, url=f"http://127.0.0.1:{free_port()}") as stack:
            await stack.ready(lambda _: None, deadline_s=0.5)


def test_the_command_line_names_the_port_the_model_and_the_reply() -> None:
    line = command(StackOptions(port=9000, model="joe", reply="llm", extra=("--log-level", "debug")))
    assert line[1:] == [
        "-m", "voiceplane_orchestrator", "--embedded-worker", "--listen", "127.0.0.1:9000",
        "--default-model", "joe", "--reply", "llm", "--log-level", "debug",
    ]  # fmt: skip


def test_a_component_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(CliError, match=r"voiceplane_worker not installed here: pip install 'voiceplane\[demo\]'"):
        require_components(find=lambda name: None if name == "voiceplane_worker" else object())
