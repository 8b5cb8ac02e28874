"""docker-compose.yml on a real Docker engine: it comes up, speaks, answers in a room, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from tests.e2e.cluster.binaries import binary, system_program
from tests.e2e.cluster.commands import run
from tests.e2e.cluster.static_image import write_static_image
from tests.e2e.compose.engine import docker_engine
from tests.support.livekit import grant
from tests.support.speech import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.compose.engine import Engine

# It may build images.
pytestmark = pytest.mark.timeout(1800)

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY / "docker-compose.yml"
BUILD_TIMEOUT_S = 1500.0
CLIENT_TIMEOUT_S = 120.0
POLL_S = 0.5
KEY = "a-key-of-this-test"
URL = "http://127.0.0.1:8080"
SECRETS = {
    "VOICEPLANE_API_KEY": KEY,
    "LIVEKIT_API_SECRET": "a-secret-of-this-test-that-is-long-enough",
    "REDIS_PASSWORD": "a-password-of-this-test",
}


def environment_file(folder: Path) -> Path:
    """.env.example with its secrets filled in."""
    text = (REPOSITORY / ".env.example").read_text()
    for name, secret in SECRETS.items():
        assert f"\n{name}=\n" in text
        text = text.replace(f"\n{name}=\n", f"\n{name}={secret}\n")
    file = folder / "compose.env"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has the images: those of this checkout, a LiveKit and a Redis of here under upstream's names."""
    build: list[str | Path] = ["env", "BUILDER=buildah", REPOSITORY / "images" / "build", "worker", "orchestrator"]
    archives = run(build, timeout_s=BUILD_TIMEOUT_S)
    folder = tmp_path_factory.mktemp("images")
    livekit, redis = folder / "livekit.tar", folder / "redis.tar"
    values = yaml.safe_load((REPOSITORY / "charts" / "voiceplane" / "values.yaml").read_text())
    images = {
        name: f"{values[name]['image']['repository']}:{values[name]['image']['tag']}" for name in ("livekit", "redis")
    }
    # Upstream's image has a shell's wget for the health check.
    programs = {"/livekit-server": binary("livekit-server"), "/bin/wget": Path(system_program("busybox"))}
    write_static_image(livekit, images["livekit"], programs)
    write_static_image(redis, images["redis"], redis_files())
    with docker_engine() as engine:
        for archive in (*archives.split(), str(livekit), str(redis)):
            engine.docker("load", "--quiet", "--input", archive)
        yield engine


def redis_files() -> dict[str, Path]:
    """Redis, its libraries, and a shell, by their paths in an image."""
    files = {f"/usr/local/bin/{name}": Path(system_program(name)) for name in ("redis-server", "redis-cli")}
    linked = "".join(run(["ldd", program]) for program in files.values())
    libraries = {path: Path(path) for path in re.findall(r"(/\S+) \(0x", linked)}
    return files | libraries | {"/bin/sh": Path(system_program("busybox"))}


@pytest.fixture(scope="module")
def compose(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Compose for our project, with its secrets."""
    environment = environment_file(tmp_path_factory.mktemp("environment"))

    def compose(*arguments: str) -> str:
        return engine.compose("--file", FILE, "--env-file", environment, *arguments)

    return compose


@pytest.fixture(scope="module")
def running(engine: Engine, compose: Callable[..., str]) -> Iterator[Engine]:
    """The engine with all services healthy; in the end they go by themselves, and nothing of them is left."""
    compose("up", "--wait", "--no-build", "--pull", "never")
    try:
        yield engine
    finally:
        compose("stop")
        print(compose("logs"))  # shown if something failed
        ended = {container["Name"]: container["State"]["ExitCode"] for container in inspected(engine)}
        compose("down", "--volumes")
        assert set(ended.values()) == {0}, ended
        assert engine.docker("ps", "--all", "--quiet") == ""
        assert engine.docker("volume", "ls", "--quiet") == ""
        assert sorted(engine.docker("network", "ls", "--format", "{{.Name}}").split()) == ["bridge", "host", "none"]


def client(engine: Engine, command: list[str | Path], *, lines: str = "") -> str:
    """Run a program where the published ports are; returns what it printed."""
    variables = os.environ | {"VOICEPLANE_API_KEY": KEY}
    ran = engine.inside(
        lambda: subprocess.run(
            command, input=lines, env=variables, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False
        )
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def inspected(engine: Engine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(engine.docker("inspect", *engine.docker("ps", "--all", "--quiet").split()))
    return found


def test_no_container_may_more_than_it_needs(running: Engine) -> None:
    containers = inspected(running)
    assert len(containers) == 4
    for container in containers:
        host = container["HostConfig"]
        assert container["Config"]["User"] == "65532:65532"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert container["State"]["Health"]["Status"] == "healthy"
    published = {port for container in containers for port, on in container["NetworkSettings"]["Ports"].items() if on}
    assert published == {"7880/tcp", "7881/tcp", "7882/udp", "8080/tcp"}


def test_a_text_is_spoken(running: Engine, tmp_path: Path) -> None:
    file = tmp_path / "hello.wav"
    voiceplane = Path(sys.executable).with_name("voiceplane")
    client(running, [voiceplane, "say", SENTENCES[0], "--server", URL, "--output", file])
    with wave.open(str(file)) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
    assert samples.size > 48_000
    assert np.abs(samples.astype(np.int32)).max() > 1000


def test_a_user_in_a_room_is_heard_and_answered(running: Engine, tmp_path: Path) -> None:
    granted = running.inside(lambda: asyncio.run(grant(URL, api_key=KEY)))
    orders = [
        {"do": "hear", "text": SENTENCES[2], "wav": str(tmp_path / "heard.wav")},
        {"do": "speak", "text": SENTENCES[4]},
    ]
    lines = "".join(json.dumps(order) + "\n" for order in orders)
    command = [sys.executable, "-m", "tests.support.remote_participant", granted["url"], granted["token"]]
    answers = client(running, command, lines=lines)
    _, heard, spoken = (json.loads(line) for line in answers.splitlines())
    assert heard["seconds"] > 1.0
    assert (tmp_path / "heard.wav").stat().st_size > 16_000 * 2
    # On a busy machine the sentence may become two turns: it is enough that words of it came through.
    understood = set(SENTENCES[4].lower().split()) & set(spoken["text"].lower().split())
    assert len(understood) >= 3, spoken


def test_a_redis_that_restarts_empty_is_registered_in_again(running: Engine, compose: Callable[..., str]) -> None:
    def registered() -> str:
        return compose("exec", "--no-TTY", "redis", "redis-cli", "HKEYS", "voiceplane:v1:workers").strip()

    before = registered()
    assert before.endswith(":50051")
    compose("restart", "redis")
    compose("up", "--wait", "--no-build", "--pull", "never")  # until it is healthy again
    deadline = time.monotonic() + CLIENT_TIMEOUT_S
    while registered() != before:
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    voiceplane = Path(sys.executable).with_name("voiceplane")
    workers = json.loads(client(running, [voiceplane, "workers", "--json", "--server", URL]))["workers"]
    assert [each["address"] for each in workers] == [before]


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_it_says_what_to_set(engine: Engine, tmp_path: Path, missing: str) -> None:
    file = tmp_path / "compose.env"
    file.write_text("".join(f"{name}={secret}\n" for name, secret in SECRETS.items() if name != missing))
    with pytest.raises(RuntimeError, match=rf"{missing}.*see \.env\.example"):
        engine.compose("--file", FILE, "--env-file", file, "config")
