"""A visit in a room of the LiveKit server."""

from __future__ import annotations

import aiohttp
from livekit import rtc

from tests.support.livekit import Person


async def meet_an_agent(server: str) -> None:
    """Enter a new room; returns when an agent is there, and we have left.

    Raises:
        ConnectionError: There is no way in.
    """
    async with aiohttp.ClientSession() as http, http.post(f"{server}/v1/livekit/token", json={}) as response:
        response.raise_for_status()
        granted = await response.json()
    try:
        async with Person.enter(granted) as person:
            await person.until_agents(1)
    except rtc.ConnectError as error:
        raise ConnectionError(str(error)) from error
