"""A visit in a room of the LiveKit server."""

from __future__ import annotations

import uuid

import aiohttp
from livekit import rtc

from tests.support.livekit import Person

ASK_AGAIN_S = 2.0
MOST_ASKED = 10


async def meet_an_agent(server: str) -> None:
    """Enter a new room; returns when an agent is there, and we have left.

    Like the page, it asks for an agent while none comes: a room that is made before agents are registered gets none.

    Raises:
        ConnectionError: There is no way in, or no agent.
    """
    async with aiohttp.ClientSession() as http:
        room = {"room": f"soak-{uuid.uuid4().hex}"}
        async with http.post(f"{server}/v1/livekit/token", json=room) as response:
            response.raise_for_status()
            granted = await response.json()
        try:
            async with Person.enter(granted) as person:
                await _wait_or_ask(person, http, f"{server}/v1/livekit/agent", room)
        except rtc.ConnectError as error:
            raise ConnectionError(str(error)) from error


async def _wait_or_ask(person: Person, http: aiohttp.ClientSession, url: str, room: dict[str, str]) -> None:
    for _ in range(MOST_ASKED):
        try:
            await person.until_agents(1, timeout_s=ASK_AGAIN_S)
        except TimeoutError:
            async with http.post(url, json=room):  # LiveKit may not be ready; then no agent comes
                pass
        else:
            return
    raise ConnectionError("no agent has come")
