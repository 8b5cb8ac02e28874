"""Rooms of a real LiveKit server: people speak, are answered, interrupt, choose, come back, and are handed over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from livekit import api, rtc
from voiceplane_common.errors import VoiceplaneError

from tests.support import processes
from tests.support.livekit import KEY, SECRET, LiveKitServer, Person, ask_for_agent, grant, livekit_server, tone
from tests.support.orchestrators import ScriptedRecognizer, orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from voiceplane_orchestrator.app import Orchestrator

    from tests.support.processes import Process

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

TEXT = "this is a longer answer that goes on for quite a while, so that someone can interrupt it in the middle"
ROOMS = 3
SECOND_TICKS = 100


@contextlib.asynccontextmanager
async def agent(server: LiveKitServer, *, confirm_ms: int = 180, **livekit: Any) -> AsyncIterator[Orchestrator]:
    """An orchestrator that LiveKit knows."""
    sections: dict[str, Any] = {
        "livekit": server.settings | livekit,
        "limits": {"max_sessions": 8},
        "interruptions": {"confirm_ms": confirm_ms},
    }
    async with orchestrator(recognizer=ScriptedRecognizer(TEXT), **sections) as running:
        await running.wait_in_rooms(timeout_s=20)
        yield running


async def test_a_user_is_answered_and_interrupts() -> None:
    async with (
        livekit_server() as server,
        agent(server) as running,
        Person.enter(await grant(running.url, client_id="anna")) as anna,
    ):
        await anna.until("ready", client_id="anna")
        await anna.say(tone(0.8))
        said = await anna.until("transcript", role="user")
        assert said["text"] == TEXT
        loud = await anna.until_loud(for_ticks=SECOND_TICKS)
        began = await anna.say(tone(0.8))
        silent = await anna.until_silent(after_s=began)
        assert silent - loud > 1.0
        await anna.until("pause")
        heard = await anna.until("transcript", role="agent", interrupted=True)
        assert TEXT.startswith(heard["text"])
        assert 0 < len(heard["text"]) < len(TEXT)
        assert heard["text"] + heard["unheard"] == TEXT
        await anna.until_loud(after_s=silent + 0.5)  # and is answered again


async def test_a_cough_does_not_end_the_sentence() -> None:
    async with (
        livekit_server() as server,
        agent(server, confirm_ms=500) as running,  # WebRTC makes a sound longer where packets come late
        Person.enter(await grant(running.url)) as anna,
    ):
        await anna.until("ready")
        await anna.send("say", text=TEXT)
        loud = await anna.until_loud(for_ticks=SECOND_TICKS // 2)
        began = await anna.say(tone(0.12))
        await anna.until("pause", after_s=began)
        await anna.until("resume", after_s=began)
        done = await anna.until("done", result="complete")
        await anna.until("transcript", role="agent", interrupted=False, text=TEXT)
        heard_s = (anna.audio(after_s=loud) != 0).sum() / 48_000
        assert heard_s > done["samples"] / 48_000 * 0.95


async def test_rooms_are_served_at_once_and_each_hears_its_own() -> None:
    async with livekit_server() as server, agent(server) as running, contextlib.AsyncExitStack() as stack:
        grants = [await grant(running.url) for _ in range(ROOMS)]
        people = [await stack.enter_async_context(Person.enter(each)) for each in grants]
        await asyncio.gather(*(person.until("ready") for person in people))
        assert running.live_sessions == ROOMS
        for number, person in enumerate(people):
            await person.send("say", text="word " * (number + 1))
        ends = await asyncio.gather(*(person.until("done", result="complete") for person in people))
        await asyncio.gather(*(person.until_loud() for person in people))
        lengths = [end["samples"] for end in ends]
        assert lengths == sorted(set(lengths))


async def test_a_choice_holds_and_is_kept_for_the_next_time() -> None:
    async with livekit_server() as server, agent(server) as running:
        async with Person.enter(await grant(running.url, client_id="anna", voice="high")) as anna:
            await anna.until("ready", voice="high")
            await anna.send("say", text="one")
            await anna.until("utterance", voice="high")
            await anna.room.local_participant.set_attributes({"voiceplane.voice": "low"})
            await anna.until("selected", voice="low")
            await anna.send("say", text="two")
            await anna.until("utterance", voice="low")
            await anna.room.local_participant.set_attributes({"voiceplane.speed": "fast"})
            wrong = await anna.until("error")
            assert (wrong["field"], wrong["code"]) == ("voiceplane.speed", "INVALID_ARGUMENT")
        async with Person.enter(await grant(running.url, client_id="anna")) as anna:
            await anna.until("ready", voice="low")


async def test_what_is_missing_is_reported_and_something_else_speaks() -> None:
    async with (
        livekit_server() as server,
        agent(server) as running,
        Person.enter(await grant(running.url, model="unheard-of")) as anna,
    ):
        wrong = await anna.until("error")
        assert wrong["reason"] == "UNKNOWN_MODEL"
        await anna.until("ready", model="")
        await anna.send("say", text="one")
        await anna.until_loud()


async def test_who_comes_back_goes_on_and_who_does_not_frees_the_place() -> None:
    async with livekit_server() as server, agent(server, leave_after_ms=3000) as running:
        first = await grant(running.url, client_id="anna")
        async with Person.enter(first) as anna:
            ready = await anna.until("ready")
        again = await grant(running.url, client_id="anna", room=first["room"])
        async with Person.enter(again) as anna:
            assert (await anna.until("ready"))["session_id"] == ready["session_id"]
            await anna.say(tone(0.8))
            await anna.until_loud()
        async with asyncio.timeout(20):
            await running.wait_idle()


async def test_an_orchestrator_that_goes_gives_its_rooms_to_another_one() -> None:
    async with livekit_server() as server, agent(server) as old, contextlib.AsyncExitStack() as stack:
        people = [await stack.enter_async_context(Person.enter(await grant(old.url))) for _ in range(ROOMS)]
        await asyncio.gather(*(person.until("ready") for person in people))
        async with agent(server) as new:
            await people[0].send("say", text=TEXT)
            await people[0].until_loud()
            draining = asyncio.create_task(old.drain())
            await people[0].until("done", result="complete")  # what is being said is said to its end
            await draining
            assert (old.live_sessions, new.live_sessions) == (0, ROOMS)
            for person in people:
                await person.until_agents(2)
                assert len(set(person.agents)) == 2
                since = asyncio.get_running_loop().time()
                await person.send("say", text="here I am")
                await person.until_loud(after_s=since)


async def test_after_a_restart_of_livekit_one_enters_again() -> None:
    async with livekit_server() as server, agent(server) as running:
        first = await grant(running.url, client_id="anna")
        async with Person.enter(first) as anna:
            await anna.until("ready")
            await server.kill()
            await server.start()
        async with Person.enter(await grant(running.url, client_id="anna", room=first["room"])) as anna:
            await anna.until("ready", timeout_s=30)
            await anna.send("say", text="here I am")
            await anna.until_loud()


async def test_an_agent_whose_livekit_is_gone_is_not_registered_until_it_is_back() -> None:
    async with livekit_server() as server, agent(server) as running, asyncio.timeout(60):
        assert running._agent is not None
        library = running._agent._server
        assert library is not None
        lost = asyncio.Event()
        forget = library.unregistered

        def tell() -> None:
            forget()
            lost.set()

        library.unregistered = tell
        await server.kill()
        await lost.wait()
        with pytest.raises(VoiceplaneError, match="has not registered"):
            await running.wait_in_rooms(timeout_s=0.1)
        await server.start()
        await running.wait_in_rooms(timeout_s=30)
        async with Person.enter(await grant(running.url, client_id="anna")) as anna:
            await anna.until("ready")


async def test_the_ways_to_talk_are_reported() -> None:
    async def told(url: str) -> object:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/transports") as response:
            return await response.json()

    async with orchestrator() as plain:
        assert await told(plain.url) == {"webrtc": False, "websocket": True}
    livekit = {"url": "ws://127.0.0.1:9", "api_key": KEY, "api_secret": SECRET, "serve_rooms": False}
    async with orchestrator(livekit=livekit) as rooms:
        assert await told(rooms.url) == {"webrtc": True, "websocket": True}


@pytest.mark.parametrize("call", ["/v1/livekit/token", "/v1/livekit/agent"])
async def test_rooms_are_for_those_with_a_key(call: str) -> None:
    livekit = {"url": "ws://127.0.0.1:9", "api_key": KEY, "api_secret": SECRET, "serve_rooms": False}
    async with orchestrator(livekit=livekit, auth={"api_keys": ["sesame"]}) as running, aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer open"}):
            async with http.post(f"{running.url}{call}", json={}, headers=headers) as response:
                assert response.status == 401
                assert (await response.json())["error"]["code"] == "UNAUTHENTICATED"
        headers = {"Authorization": "Bearer sesame"}
        async with http.post(f"{running.url}/v1/livekit/token", json={}, headers=headers) as response:
            assert response.status == 200


async def test_a_grant_opens_one_room_and_for_a_while_only() -> None:
    async with livekit_server() as server, agent(server) as running:
        granted = await grant(running.url, client_id="anna")
        claims = api.TokenVerifier(KEY, SECRET).verify(granted["token"])
        assert claims.video is not None
        assert (claims.video.room, claims.video.can_publish_sources) == (granted["room"], ["microphone"])
        assert not any((claims.video.room_admin, claims.video.room_create, claims.video.room_list))
        assert granted["expires_in_ms"] == 60_000
        assert granted["room"] != (await grant(running.url))["room"]
        forged = rtc.Room()
        head, body, signature = granted["token"].split(".")
        with pytest.raises(rtc.ConnectError):
            await forged.connect(granted["url"], f"{head}.{body}.{signature[::-1]}")


@contextlib.asynccontextmanager
async def process(
    worker: str, server: LiveKitServer, folder: Path, *, drain_timeout_ms: int = 0
) -> AsyncIterator[tuple[str, Process]]:
    """An orchestrator of its own process, with a real recognizer."""
    config = folder / "orchestrator.yaml"
    sections = {
        "livekit": server.settings,
        "discovery": {"workers": [worker]},
        "server": {"drain_timeout_ms": drain_timeout_ms},
    }
    config.write_text(json.dumps(sections))
    async with processes.orchestrator("--config", str(config)) as running:
        yield running


async def test_a_process_that_gets_sigterm_loses_no_room(tmp_path: Path) -> None:
    async with (
        livekit_server() as server,
        processes.worker("--adapter", "mock", "--default-model", "mock") as (worker, _),
        process(worker, server, tmp_path, drain_timeout_ms=60_000) as (url, old),
        contextlib.AsyncExitStack() as stack,
    ):
        people = [await stack.enter_async_context(Person.enter(await grant(url))) for _ in range(ROOMS)]
        await asyncio.gather(*(person.until("ready") for person in people))
        await people[0].send("say", text=TEXT)
        await people[0].until_loud()
        old.child.send_signal(signal.SIGTERM)
        await people[0].until("done", result="complete")  # what is being said is said to its end
        await stack.enter_async_context(process(worker, server, tmp_path))  # only now is there another one
        assert await asyncio.wait_for(old.child.wait(), 60) == 0

        async def go_on(person: Person) -> None:
            await person.until_agents(2)
            since = asyncio.get_running_loop().time()
            await person.send("say", text="here I am")
            await person.until_loud(after_s=since)

        await asyncio.gather(*(go_on(person) for person in people))


async def test_when_agents_are_killed_people_hear_the_next_one_soon(tmp_path: Path) -> None:
    async with (
        livekit_server() as server,
        processes.worker("--adapter", "mock", "--default-model", "mock") as (worker, _),
        process(worker, server, tmp_path) as (url, doomed),
        contextlib.AsyncExitStack() as stack,
    ):
        people = [await stack.enter_async_context(Person.enter(await grant(url))) for _ in range(ROOMS)]
        await asyncio.gather(*(person.until("ready") for person in people))
        other, _ = await stack.enter_async_context(process(worker, server, tmp_path))
        for person in people:
            await person.send("say", text=TEXT)
        await asyncio.gather(*(person.until_loud() for person in people))
        await doomed.kill()
        killed = asyncio.get_running_loop().time()

        async def go_on(person: Person) -> float:
            """What the page does; how long it was silent."""
            await person.until_lifeless()
            await ask_for_agent(other, person.room.name)
            await person.until("ready", after_s=killed)
            await person.send("say", text="here I am")
            return await person.until_loud(after_s=await person.until_silent(after_s=killed)) - killed

        again_s = await asyncio.gather(*(go_on(person) for person in people))
        print(f"heard again after {', '.join(f'{each:.2f}' for each in again_s)} s")
