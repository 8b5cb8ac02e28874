"""What was spoken, answered or quoted by an error is in nothing that real processes write or send by default."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.logged_stack import PHRASE, VOICE, WORDS, client, stack
from tests.support.otlp import receiver
from tests.support.quoting_worker import UNSPEAKABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REPLY = ("marmalade", "obelisk", "perihelion")
SPOKEN = (*WORDS, *REPLY, UNSPEAKABLE)


@contextlib.asynccontextmanager
async def a_model_that_quotes() -> AsyncIterator[str]:
    """A language model that answers REPLY once, and then fails with what it was asked. Yields its base URL."""
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked > 1:
            return web.json_response({"error": {"message": f"can't answer {await request.text()}"}}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        choice = {"index": 0, "delta": {"content": " ".join(REPLY).capitalize() + "."}, "finish_reason": None}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        await response.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1"))


async def talk_about_it(url: str) -> None:
    """A turn that is answered, one whose answer fails, and a text that the voice can't speak."""
    async with client(url, "/v1/talk", sample_rate_hz=16_000) as user:
        for number in (1, 2):
            await user.socket.send(VOICE)
            await user.socket.send(bytes(len(VOICE)))
            assert (await user.until("transcript", role="user", final=True))["text"] == PHRASE
            if number == 1:
                done = await user.until("done", result="complete")
                await user.play_to(done["utterance"], done["samples"])
                assert REPLY[0] in (await user.until("transcript", role="agent"))["text"].lower()
            else:
                await user.until("error")
        await user.send("say", text=f"{UNSPEAKABLE} {PHRASE}")
        await user.until("error")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("json_lines", "allowed"), [(True, False), (False, False), (True, True)])
async def test_no_word_is_in_any_output_unless_it_is_asked_for(json_lines: bool, allowed: bool) -> None:
    async with receiver() as receives, a_model_that_quotes() as base_url:
        environment = {
            "VOICEPLANE_REPLIES__ENGINE": "llm",
            "VOICEPLANE_REPLIES__BASE_URL": base_url,
            "VOICEPLANE_REPLIES__MODEL": "m",
            "VOICEPLANE_REPLIES__API_KEY": "k",
            "VOICEPLANE_LOG__JSON_LINES": json.dumps(json_lines),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receives.grpc_url,
        }
        if allowed:
            environment |= {"VOICEPLANE_PRIVACY__LOG_TRANSCRIPTS": "true"}  # of the orchestrator
        async with stack(worker_module="tests.support.quoting_worker", **environment) as running:
            await talk_about_it(running.url)
            metrics = await running.metrics()
            await running.stop()
        programs = (running.orchestrator, running.worker)
        logged = "".join(program.log + program.printed for program in programs).lower()
        sent = (metrics + receives.raw).lower()
    for proof in ("synthesis_failed", "rerouting", "recognition", "utterance", "turn", "error_told"):
        assert proof in logged, "it was logged"
    assert "voiceplane_orchestrator_turns_total 2.0" in sent
    assert "first_chunk" in sent
    encoded = base64.b64encode(PHRASE.encode()).decode().lower()
    assert [word for word in (*SPOKEN, encoded) if word in sent] == []
    assert [word for word in (*SPOKEN, encoded) if word in logged] == (list(WORDS) if allowed else [])
