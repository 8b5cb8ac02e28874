"""Replies by a language model: a small server of OpenAI's chat completions on loopback, that does what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiohttp import web
from pydantic import SecretStr
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.replies.base import ChatMessage
from voiceplane_orchestrator.replies.llm import LlmReplier
from voiceplane_orchestrator.settings import RepliesSection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    Act = Callable[["Server", web.StreamResponse], Coroutine[Any, Any, None]]

HISTORY = [ChatMessage("user", "Who are you?")]


class Server:
    """Runs one script for each answer, and remembers what was asked."""

    def __init__(self, act: Act | None, *, status: int = 200) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.gone = asyncio.Event()
        self.go_on = asyncio.Event()
        self._act = act
        self._status = status
        self.base_url = ""

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers["Authorization"])
        if self._act is None:
            return web.json_response({"error": {"message": "no"}}, status=self._status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._act(self, response)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise
        return response


async def token(response: web.StreamResponse, text: str | None) -> None:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


async def done(response: web.StreamResponse) -> None:
    await response.write(b"data: [DONE]\n\n")


@contextlib.asynccontextmanager
async def replier(base_url: str, **settings: Any) -> AsyncIterator[LlmReplier]:
    section = RepliesSection(engine="llm", base_url=base_url, model="llama", **settings)
    llm = LlmReplier(section)
    try:
        async with asyncio.timeout(20):
            yield llm
    finally:
        await llm.aclose()


async def failure(base_url: str, **settings: Any) -> VoiceplaneError:
    async with replier(base_url, **settings) as llm:
        with pytest.raises(VoiceplaneError) as caught:
            [_ async for _ in llm.reply(HISTORY, language="")]
    return caught.value


async def test_tokens_are_reported_as_they_come_and_not_at_the_end() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        await token(response, "I ")
        await server.go_on.wait()
        for text in (None, "am.", ""):
            await token(response, text)
        await done(response)

    async with Server(act) as server, replier(server.base_url) as llm:
        answer = aiter(llm.reply(HISTORY, language=""))
        assert await anext(answer) == "I "
        server.go_on.set()
        assert [text async for text in answer] == ["am."]


async def test_the_server_gets_the_key_the_model_the_prompt_and_the_latest_messages() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        await token(response, "Ja.")
        await done(response)

    history = [
        ChatMessage("user", "one"),
        ChatMessage("assistant", "two"),
        ChatMessage("user", "three"),
    ]
    settings = {"api_key": SecretStr("hush"), "system_prompt": "Be brief.", "max_history": 2}
    async with Server(act) as server, replier(server.base_url, **settings) as llm:
        assert [text async for text in llm.reply(history, language="de-DE")] == ["Ja."]
    assert server.keys == ["Bearer hush"]
    assert server.requests[0]["model"] == "llama"
    assert server.requests[0]["stream"] is True
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief. Answer in the language de-DE."},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]


async def test_an_interruption_hangs_up_so_that_the_server_stops_working() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        while True:
            await token(response, "on and on ")
            await asyncio.sleep(0.01)

    async with Server(act) as server, replier(server.base_url) as llm:
        async with contextlib.aclosing(llm.reply(HISTORY, language="")) as answer:  # type: ignore[type-var]  # a generator
            await anext(answer)
        await server.gone.wait()


async def test_a_cancelled_wait_for_the_first_token_hangs_up() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del response
        server.go_on.set()
        await asyncio.Event().wait()

    async with Server(act) as server, replier(server.base_url) as llm:
        waiting = asyncio.ensure_future(anext(aiter(llm.reply(HISTORY, language=""))))
        await server.go_on.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await server.gone.wait()


async def test_a_server_that_keeps_the_line_open_without_a_token_is_given_up() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        while True:
            await response.write(b": still thinking\n\n")
            await asyncio.sleep(0.01)

    async with Server(act) as server:
        error = await failure(server.base_url, first_token_timeout_ms=200)
        assert error.reason == "LLM_TIMEOUT"
        assert "raise replies.first_token_timeout_ms" in error.message
        await server.gone.wait()


async def test_a_server_that_stops_in_the_middle_of_an_answer_is_given_up() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        await token(response, "I ")
        await asyncio.Event().wait()

    async with Server(act) as server:
        assert (await failure(server.base_url, first_token_timeout_ms=200)).reason == "LLM_TIMEOUT"


async def test_a_server_that_dies_in_mid_answer_is_an_error() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        await token(response, "I ")
        transport = response._req.transport if response._req is not None else None
        assert transport is not None
        transport.abort()

    async with Server(act) as server:
        assert (await failure(server.base_url)).reason == "LLM_UNREACHABLE"


async def test_what_is_no_json_is_an_error() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        await response.write(b"data: {oops\n\n")

    async with Server(act) as server:
        assert (await failure(server.base_url)).reason == "LLM_FAILED"


async def test_a_page_instead_of_an_answer_is_an_error() -> None:
    async def act(server: Server, response: web.StreamResponse) -> None:
        del server
        await response.write(b"<html>It works!</html>\n")

    async with Server(act) as server:
        error = await failure(server.base_url)
        assert error.reason == "LLM_NOT_AN_API"
        assert "replies.base_url" in error.message


@pytest.mark.parametrize(
    ("status", "reason", "remedy", "code"),
    [
        (401, "LLM_KEY_REFUSED", "replies.api_key", grpc.StatusCode.FAILED_PRECONDITION),
        (403, "LLM_KEY_REFUSED", "replies.api_key", grpc.StatusCode.FAILED_PRECONDITION),
        (404, "LLM_MODEL_NOT_FOUND", "replies.model", grpc.StatusCode.FAILED_PRECONDITION),
        (500, "LLM_FAILED", "InternalServerError", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_a_refusal_says_what_to_do(status: int, reason: str, remedy: str, code: grpc.StatusCode) -> None:
    async with Server(None, status=status) as server:
        error = await failure(server.base_url, api_key=SecretStr("hush"))
    assert (error.reason, error.code) == (reason, code)
    assert remedy in error.message
    assert "hush" not in error.message


async def test_no_one_there_is_an_error_that_names_the_address() -> None:
    async with Server(None) as server:
        base_url = server.base_url
    error = await failure(base_url)
    assert error.reason == "LLM_UNREACHABLE"
    assert base_url in error.message
