"""What the command says of a port that it can't have: the setting, and no traceback."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest


@pytest.mark.parametrize("flag", ["--listen", "--metrics-port"])
async def test_a_port_that_is_in_use_is_reported_with_its_setting(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = {"--listen": "127.0.0.1:0", flag: f"127.0.0.1:{port}" if flag == "--listen" else str(port)}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voiceplane_worker", "--adapter", "mock", "--default-model", "mock"),
            *(part for pair in flags.items() for part in pair),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _, said = await child.communicate()
    last = said.decode().splitlines()[-1]
    assert child.returncode == 2, said.decode()
    assert last.startswith("voiceplane-worker: cannot ")
    assert str(port) in last
    assert last.endswith("set worker." + flag.strip("-").replace("-", "_"))
    assert "Traceback" not in said.decode()
