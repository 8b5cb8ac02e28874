"""`voiceplane logs summary` with the logs of real programs, and with what is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.integration.cli.test_commands import voiceplane
from tests.support.logged_stack import client, say_it_in_every_way, stack, take_a_turn

if TYPE_CHECKING:
    from pathlib import Path


async def test_real_logs_are_summed_up(tmp_path: Path) -> None:
    async with stack() as running:
        await say_it_in_every_way(running.url)
        async with client(running.url, "/v1/talk", sample_rate_hz=16_000) as user:
            await take_a_turn(user)
        await running.stop()
        log = running.orchestrator.log + running.worker.log
    (tmp_path / "all.log").write_text(log)
    found = json.loads((await voiceplane("logs", "summary", str(tmp_path / "all.log"), "--json")).out)
    assert found["sessions"] == {"talk": 2, "speak": 1, "file": 1}
    assert (found["turns"], found["open_sessions"]) == (2, 0)
    assert found["utterances"] == {"complete": 2, "interrupted": 1}
    assert found["latencies"]["first_audio after speech"]["count"] == 2
    assert found["latencies"]["asr"]["count"] == found["latencies"]["endpointing"]["count"] == 2
    assert found["counts"]["errors"]["TEXT_TOO_LONG"] == 1
    assert found["counts"]["errors"]["INVALID_MESSAGE"] == 3
    lines = [json.loads(text) for text in running.orchestrator.log.splitlines() if text.startswith("{")]
    spoken = [each for each in lines if each["event"] in {"turn", "utterance", "recognition", "worker_session"}]
    assert len(spoken) >= 7
    sessions = {each["session_id"] for each in lines if each["event"] == "session_started"}
    assert {each["session_id"] for each in spoken} <= sessions
    errors = [each for each in lines if each["event"] == "error_told" and each["reason"] == "TEXT_TOO_LONG"]
    assert errors[0]["session_id"] in sessions
    shown = (await voiceplane("logs", "summary", "-", stdin=log.encode())).out.decode()
    assert "4 (file 1, speak 1, talk 2), 0 still open" in shown
    assert "TEXT_TOO_LONG" in shown


async def test_what_is_no_log_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    result = await voiceplane("logs", "summary", str(tmp_path / "a.txt"))
    assert (result.code, result.err) == (2, "voiceplane: no line of a log of ours: is it JSON (log.json_lines)?\n")
    result = await voiceplane("logs", "summary", str(tmp_path / "b.txt"))
    assert (result.code, "b.txt: No such file" in result.err) == (2, True)
