"""The agent of a LiveKit server: it registers, is dispatched to rooms, and runs one conversation in each.

livekit-agents registers the agent, reports its load and starts its jobs. It runs each job on a thread of its own. Our
jobs only wait there, because all sessions share one event loop, one recognizer and one router.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from typing import TYPE_CHECKING

from livekit import api
from livekit.agents import AgentServer, JobContext, JobExecutorType, JobRequest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger, take_over
from voiceplane_common.tasks import first_to_end

from voiceplane_orchestrator.transports.livekit.room import RoomSession

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from livekit.agents.job import RunningJobInfo

    from voiceplane_orchestrator.sessions.factory import SessionFactory
    from voiceplane_orchestrator.transports.admission import SessionAdmission

RESTART_S = 2.0
CALL_TIMEOUT_S = 5.0
# The library sets these for the whole process; another orchestrator in it would read them.
VARIABLES = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
# A warning of the library, which expects to connect to the room itself; here the session connects.
NOT_CONNECTED = "The room connection was not established"
# A job starts on a thread that is kept ready; starting another thread takes some 10 ms.
IDLE_THREADS = 1

_log = get_logger("livekit")


class _Server(AgentServer):
    """The library's server, which reports a registration, extended to report its end."""

    unregistered: Callable[[], object]

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Run one registered connection, from the registration to the end of the connection."""
        try:
            await super()._run_ws(ws)
        finally:
            self.unregistered()


class RoomAgent:
    """The registration with a LiveKit server. Use as an asynchronous context manager."""

    def __init__(self, *, factory: SessionFactory, admission: SessionAdmission) -> None:
        self._factory = factory
        self._settings = factory.settings.livekit
        self._admission = admission
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handing_over = asyncio.Event()
        self._registered = asyncio.Event()
        self._server: _Server | None = None
        self._environment: dict[str, str | None] = {}
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RoomAgent:
        take_over("livekit", drop=NOT_CONNECTED)
        self._environment = {name: os.environ.get(name) for name in VARIABLES}
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.create_task(self._run(), name="livekit-agent")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    async def wait_registered(self) -> None:
        """Return when LiveKit has registered the agent; after a lost connection, when it has registered it again."""
        await self._registered.wait()

    async def drain(self) -> None:
        """Accept no new room, and hand each present one over to another agent."""
        self._handing_over.set()
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                await self._server.drain(timeout=1)  # it notifies LiveKit at once; the sessions are awaited elsewhere

    async def dispatch_agent(self, room: str) -> None:
        """Have LiveKit dispatch an agent to a room.

        Raises:
            api.TwirpError: LiveKit refuses.
        """
        settings = self._settings
        async with asyncio.timeout(CALL_TIMEOUT_S):
            async with api.LiveKitAPI(settings.url, settings.api_key, settings.api_secret.get_secret_value()) as calls:
                request = api.CreateAgentDispatchRequest(agent_name=settings.agent_name, room=room)
                await calls.agent_dispatch.create_dispatch(request)

    async def _run(self) -> None:
        """Stay registered: the library gives up after some time without a server, so it is restarted."""
        while True:
            server = self._server = self._make_server()
            try:
                await server.run()
            except Exception as error:
                _log.error("livekit_agent_failed", url=self._settings.url, error=repr(error))
            finally:
                self._registered.clear()
                await asyncio.shield(server.aclose())
            await asyncio.sleep(RESTART_S)

    def _make_server(self) -> _Server:
        settings = self._settings
        server = _Server(
            job_executor_type=JobExecutorType.THREAD,
            ws_url=settings.url,
            api_key=settings.api_key,
            api_secret=settings.api_secret.get_secret_value(),
            host="127.0.0.1",
            port=0,
            load_fnc=self._load,
            # With the library's threshold, a second request at the same time would count as overload.
            load_threshold=math.inf,
            num_idle_processes=IDLE_THREADS,
            log_level="WARN",
        )
        server.on("worker_registered", lambda *_: self._registered.set())
        server.unregistered = self._registered.clear
        server.rtc_session(self._job, agent_name=settings.agent_name, on_request=self._answer)
        return server

    def _load(self) -> float:
        return len(self._admission.kinds) / self._factory.settings.limits.max_sessions

    async def _answer(self, request: JobRequest) -> None:
        if self._handing_over.is_set() or self._admission.finishing.is_set() or self._load() >= 1.0:
            await request.reject(terminate=False)
        else:
            await request.accept(name=self._settings.agent_name, attributes={"lk.agent.state": "initializing"})

    async def _job(self, context: JobContext) -> None:
        """Runs on the job's thread."""
        server, loop = self._server, self._loop
        assert server is not None and loop is not None  # noqa: S101, PT018 - set before any job starts
        job = next(each for each in server.active_jobs if each.job.id == context.job.id)
        serving = asyncio.run_coroutine_threadsafe(self._serve(job), loop)
        try:
            await asyncio.wrap_future(serving)
        finally:
            context.shutdown()

    async def _serve(self, job: RunningJobInfo) -> None:
        """Runs on the orchestrator's event loop."""
        try:
            with self._admission.admit("room") as session_id:
                _log.info("room_entered", session_id=session_id, room=job.job.room.name)
                session = RoomSession(
                    factory=self._factory,
                    session_id=session_id,
                    agent_name=self._settings.agent_name,
                    leave_after_s=self._settings.leave_after_ms / 1000,
                    handing_over=self._handing_over,
                    dispatch_agent=self.dispatch_agent,
                )
                await first_to_end(session.serve(job.url, job.token), self._admission.ending.wait())
        except VoiceplaneError as error:
            _log.warning("room_refused", room=job.job.room.name, reason=error.reason)
        except ConnectionError as error:
            _log.info("room_lost", room=job.job.room.name, error=str(error))
        except Exception as error:
            _log.error("room_failed", room=job.job.room.name, exc_info=error)
