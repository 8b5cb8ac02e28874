"""Real processes, searched for what was said and for keys; and their end by SIGTERM."""

from __future__ import annotations

import base64
import json
import signal

import pytest

from tests.support.logged_stack import KEY, WORDS, WRONG_KEY, client, say_it_in_every_way, stack


@pytest.mark.parametrize("allowed", [False, True])
async def test_what_was_said_is_in_the_logs_only_when_asked_for_and_keys_never(allowed: bool) -> None:
    async with stack(VOICEPLANE_PRIVACY__LOG_TRANSCRIPTS=json.dumps(allowed)) as running:
        await say_it_in_every_way(running.url)
        metrics = (await running.metrics()).lower()
        await running.stop()
        orchestrator, worker = running.orchestrator, running.worker
        assert '"session_ended"' in worker.log, "the logs were read"
        assert '"event": "turn"' in orchestrator.log
        assert "voiceplane_orchestrator_turns_total 1.0" in metrics, "the metrics were read"
        log = (orchestrator.log + worker.log).lower()
        silent = orchestrator.printed + worker.printed
        assert [word in log for word in WORDS] == [allowed] * 3
        for key in (KEY, WRONG_KEY):
            assert key not in log + metrics + silent
            assert base64.urlsafe_b64encode(key.encode()).decode().rstrip("=").lower() not in log + metrics
        assert not [word for word in WORDS if word in metrics or word in silent.lower()]
        assert "traceback" not in log


async def test_after_sigterm_the_utterance_under_way_is_finished_and_the_process_exits() -> None:
    async with stack() as running, client(running.url, "/v1/speak") as speaking:
        await speaking.send("text", text="This takes two seconds to be said.", end=True)
        await speaking.frame()
        running.orchestrator.child.send_signal(signal.SIGTERM)
        done = await speaking.until("done")
        assert done["result"] == "complete"
        assert sum(frame.valid_samples for frame in speaking.frames(1)) == done["samples"] > 48_000
        assert (await speaking.until("error"))["reason"] == "SHUTTING_DOWN"
        assert await running.orchestrator.child.wait() == 0
