"""Replies of a language model, from any server with OpenAI's chat completions API, token by token."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import openai
from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from openai.types.chat import ChatCompletionMessageParam

    from voiceplane_orchestrator.replies.base import ChatMessage
    from voiceplane_orchestrator.settings import RepliesSection


class LlmReplier:
    """A language model behind an HTTP API."""

    def __init__(self, settings: RepliesSection) -> None:
        self._settings = settings
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key.get_secret_value() or "none",  # the client library requires one
            timeout=settings.first_token_timeout_ms / 1000,
            max_retries=1,
        )

    async def reply(self, history: Sequence[ChatMessage], *, language: str) -> AsyncIterator[str]:
        """See Replier."""
        prompt = self._settings.system_prompt
        if language:
            prompt = f"{prompt} Answer in the language {language}."
        messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": prompt}]
        for message in history[-self._settings.max_history :]:
            if message.role == "user":
                messages.append({"role": "user", "content": message.text})
            else:
                messages.append({"role": "assistant", "content": message.text})
        async with contextlib.aclosing(self._ask(messages)) as answer:
            while text := await self._next(answer):
                yield text

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _next(self, answer: AsyncGenerator[str]) -> str:
        """The next text of an answer; empty at its end."""
        try:
            async with asyncio.timeout(self._settings.first_token_timeout_ms / 1000):
                return await anext(answer, "")
        except (openai.OpenAIError, TimeoutError, json.JSONDecodeError) as error:
            raise self._explain(error) from None

    async def _ask(self, messages: list[ChatCompletionMessageParam]) -> AsyncGenerator[str]:
        answered = False
        async with await self._client.chat.completions.create(
            model=self._settings.model, messages=messages, stream=True
        ) as stream:
            async for chunk in stream:
                answered = True
                text = chunk.choices[0].delta.content if chunk.choices else None
                if text:
                    yield text
        if not answered:
            message = f"{self._settings.base_url} is no OpenAI-compatible API: correct replies.base_url"
            raise failed_precondition("LLM_NOT_AN_API", message)

    def _explain(self, error: Exception) -> VoiceplaneError:
        url = self._settings.base_url
        if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
            return failed_precondition("LLM_KEY_REFUSED", f"{url} refused the API key: correct replies.api_key")
        if isinstance(error, openai.NotFoundError):
            message = f"{url} has no model {self._settings.model!r}: correct replies.model"
            return failed_precondition("LLM_MODEL_NOT_FOUND", message)
        if isinstance(error, (TimeoutError, openai.APITimeoutError)):
            return unavailable(
                "LLM_TIMEOUT",
                f"{url} did not answer in time: check the server, or raise replies.first_token_timeout_ms",
            )
        if isinstance(error, openai.APIConnectionError):
            return unavailable("LLM_UNREACHABLE", f"{url} cannot be reached: start it, or correct replies.base_url")
        return unavailable("LLM_FAILED", f"{url} failed with {type(error).__name__}: see the server's log")
