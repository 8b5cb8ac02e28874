"""The commands as a user types them: exit codes, messages and output, in a process of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted_server import KEY, model

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.test_utils import TestServer

    from tests.support.scripted_server import Peer, ScriptedServer

VOICEPLANE = (sys.executable, "-m", "voiceplane_cli.main")


@dataclass(frozen=True)
class Result:
    code: int
    out: bytes
    err: str


async def voiceplane(*arguments: str, stdin: bytes = b"", **env: str) -> Result:
    process = await asyncio.create_subprocess_exec(
        *VOICEPLANE, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **env},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Result(process.returncode, out, err.decode())


def url(server: TestServer) -> str:
    return str(server.make_url("")).rstrip("/")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read_all(folder: Path) -> list[bytes]:
    """The content of each file."""
    return [path.read_bytes() for path in folder.iterdir()]


async def speak_two_frames(peer: Peer) -> None:
    while True:
        message = await peer.next()
        assert isinstance(message, dict)
        if message["end"]:
            break
    await peer.frames(epoch=1, utterance=1, count=2)
    await peer.event("done", utterance=1, epoch=1, result="complete", samples=1920)
    await peer.next()


async def test_say_writes_a_wav_file_and_tells_what_it_took(
    scripted: ScriptedServer, server: TestServer, tmp_path: Path
) -> None:
    scripted.script = speak_two_frames
    result = await voiceplane("say", "Hi.", "-o", str(tmp_path / "hi.wav"), "--server", url(server))
    assert result.code == 0, result.err
    assert "first audio" in result.err
    assert "RTF" in result.err
    assert result.out == b""
    with wave.open(str(tmp_path / "hi.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (48_000, 1920)


async def test_say_reads_a_pipe_and_writes_to_a_pipe(scripted: ScriptedServer, server: TestServer) -> None:
    scripted.script = speak_two_frames
    wav = await voiceplane("--server", url(server), "say", "-o", "-", stdin=b"Hello there.")
    assert wav.code == 0, wav.err
    assert wav.out[:4] == b"RIFF"
    assert len(wav.out) == 44 + 3840
    raw = await voiceplane("--server", url(server), "say", "-o", "-", "--raw", stdin=b"Hello there.")
    assert raw.out == wav.out[44:]


async def test_a_reader_that_goes_away_is_no_news(scripted: ScriptedServer, server: TestServer) -> None:
    async def script(peer: Peer) -> None:
        while isinstance(message := await peer.next(), dict) and not message["end"]:
            pass
        await peer.frames(epoch=1, utterance=1, count=200)
        await peer.next()

    scripted.script = script
    line = f"set -o pipefail; {' '.join(VOICEPLANE)} --server {url(server)} say Hi. -o - | head -c 4"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, out, err) == (1, b"RIFF", b"")


async def test_say_that_fails_leaves_no_file_and_an_old_one_as_it_was(
    scripted: ScriptedServer, server: TestServer, tmp_path: Path
) -> None:
    scripted.refuse = {"code": "NOT_FOUND", "reason": "UNKNOWN_MODEL", "message": "no such model"}
    file = tmp_path / "hi.wav"
    for before in (None, b"an older recording"):
        if before:
            file.write_bytes(before)
        result = await voiceplane("say", "Hi.", "-o", str(file), "--server", url(server))
        assert result.code != 0
        assert read_all(tmp_path) == ([before] if before else [])


async def test_say_reports_a_fallback(scripted: ScriptedServer, server: TestServer, tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.event("utterance", utterance=1, epoch=1, model="joe", voice="j", fallback=True, reason="joe instead")
        await speak_two_frames(peer)

    scripted.script = script
    result = await voiceplane("say", "Hi.", "-o", str(tmp_path / "hi.wav"), "--server", url(server))
    assert result.code == 0, result.err
    assert "fallback: joe instead" in result.err


async def test_no_server_is_one_line_with_the_remedy() -> None:
    for arguments in (["models", "list"], ["workers"], ["say", "Hi.", "-o", os.devnull]):
        result = await voiceplane(*arguments, "--server", f"http://127.0.0.1:{unused_port()}")
        assert result.code == 3
        assert "voiceplane demo" in result.err
        assert result.err.count("\n") == 1


async def test_no_worker_is_one_line_with_the_remedy() -> None:
    result = await voiceplane("models", "list", "--worker", f"127.0.0.1:{unused_port()}")
    assert result.code == 3
    assert "correct --worker" in result.err
    assert result.err.count("\n") == 1


async def test_debug_shows_where_an_error_comes_from() -> None:
    process = await asyncio.create_subprocess_exec(
        *VOICEPLANE, "--debug", "--server", f"http://127.0.0.1:{unused_port()}", "workers",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["workers", "--server", "localhost:8080"], "must be a URL such as"),
        (["say", "Hi.", "-o", "/no/such/folder/x.wav"], "cannot write"),
        (["say", "Hi.", "--json", "-o", "-"], "both want stdout"),
        (["talk", "--input", "/no/such.wav"], "cannot read"),
        (["talk", "--fast"], "--input in.wav"),
        (["say", "Hi.", "--speed", "9"], "Invalid value for '--speed'"),
        (["sya"], "No such command"),
    ],
)
async def test_a_mistake_of_the_user_names_its_remedy(arguments: list[str], remedy: str) -> None:
    result = await voiceplane(*arguments)
    assert result.code == 2
    assert remedy in result.err


async def test_a_key_is_asked_for_and_taken_from_the_environment(scripted: ScriptedServer, server: TestServer) -> None:
    scripted.wants_key = True
    scripted.script = speak_two_frames
    for arguments in (["workers"], ["say", "Hi.", "-o", os.devnull]):
        refused = await voiceplane("--server", url(server), *arguments)
        assert refused.code == 4
        assert "VOICEPLANE_API_KEY" in refused.err
        accepted = await voiceplane("--server", url(server), *arguments, VOICEPLANE_API_KEY=KEY)
        assert accepted.code == 0, accepted.err


async def test_models_and_workers_are_shown_as_tables_and_as_json(scripted: ScriptedServer, server: TestServer) -> None:
    shown = await voiceplane("models", "list", "--server", url(server))
    assert shown.code == 0
    for part in (b"joe *", b"resident", b"63 MB"):
        assert part in shown.out
    assert b"\x1b" not in shown.out
    value = json.loads((await voiceplane("models", "list", "--json", "--server", url(server))).out)
    assert value["models"][0]["model_id"] == "joe"
    assert value["models"][0]["workers"][0]["state"] == "resident"
    value = json.loads((await voiceplane("workers", "--json", "--server", url(server))).out)
    assert value["workers"][0]["max_sessions"] == 16
    assert b"32 ms" in (await voiceplane("workers", "--server", url(server))).out


async def test_load_unload_and_reload_ask_for_the_model(scripted: ScriptedServer, server: TestServer) -> None:
    for action in ("load", "unload", "reload"):
        assert (await voiceplane("models", action, "joe", "--server", url(server))).code == 0
    assert scripted.changed == [("joe", "load"), ("joe", "unload"), ("joe", "reload")]


async def test_a_load_that_fails_tells_the_reason(scripted: ScriptedServer, server: TestServer) -> None:
    scripted.fail_load = {"code": "UNAVAILABLE", "reason": "LOAD_FAILED", "message": "joe: wrong sha256: correct it"}
    told = await voiceplane("models", "load", "joe", "--server", url(server))
    assert told.code == 3
    assert "joe: wrong sha256: correct it" in told.err
    scripted.fail_load = None
    scripted.models = [model("joe", state="failed", reason="DigestMismatch", message="correct the digest")]
    seen = await voiceplane("models", "load", "joe", "--server", url(server))
    assert seen.code == 1
    assert "DigestMismatch: correct the digest" in seen.err


async def test_demo_says_that_its_port_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = await voiceplane("demo", "--port", str(port))
    assert result.code == 1
    assert f"port {port} is in use" in result.err
    assert "--port" in result.err.split("choose another")[1]


async def test_the_version_and_a_completion_script_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    # A test is started by no shell that could be detected, so the shell is named.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert (await voiceplane("--version")).out.startswith(b"voiceplane 0.")
    shown = await voiceplane("--show-completion", "bash")
    assert shown.code == 0
    assert b"complete" in shown.out


async def test_an_interrupt_ends_a_command_silently(scripted: ScriptedServer, server: TestServer) -> None:
    process = await asyncio.create_subprocess_exec(
        *VOICEPLANE, "--server", url(server), "say", "-o", os.devnull,
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        connected.set()
        await peer.next()

    scripted.script = script
    await asyncio.wait_for(connected.wait(), 30)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    err = await asyncio.wait_for(process.stderr.read(), 30)
    assert (await process.wait(), err) == (130, b"")
