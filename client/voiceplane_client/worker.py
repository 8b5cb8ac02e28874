"""A connection to one worker: models, state and sessions. Errors are VoiceplaneError, rebuilt from the status."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from voiceplane_common.errors import VoiceplaneError, from_rpc_error
from voiceplane_common.tls import channel_credentials
from voiceplane_proto.v1 import tts_pb2, tts_pb2_grpc

from voiceplane_client.session import WorkerSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from voiceplane_common.tls import ClientTlsSection

R = TypeVar("R")

# A peer that has stopped is noticed within keepalive time + ping timeout, also when its host vanished without closing
# the connection. gRPC's keepalive timeout does not bound the answer to a ping; its ping timeout does.
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # This one is the time that an attempt may take, not a wait: 100 ms would be too short for a distant or busy worker.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # A worker that comes back is to speak within 2 s of that, and this wait is the largest part of it.
    ("grpc.max_reconnect_backoff_ms", 500),
    # Two connections to one address must not share a subchannel: a test, or a second worker on the same port, would see
    # the first one's backoff.
    ("grpc.use_local_subchannel_pool", 1),
    # The addresses of workers are those of pods and hosts near by: the proxy of the environment does not know them.
    ("grpc.enable_http_proxy", 0),
    # A snapshot of thousands of models with their voices is more than gRPC's 4 MB.
    ("grpc.max_receive_message_length", 64 << 20),
]


UNANSWERED = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
"""After these, a worker may have begun what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long calls may take, in seconds.

    Attributes:
        control: PAUSE, RESUME, STOP, EndSession, ListModels, GetCapabilities.
        start: StartSession, which may have to load a model.
        load: LoadModel, UnloadModel and RELOAD.
    """

    control: float = 2.0
    start: float = 60.0
    load: float = 300.0


class WorkerClient:
    """One worker, over one channel that reconnects by itself.

    Use as an asynchronous context manager, or close() it.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: ClientTlsSection | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Make the channel; it connects at the first call.

        Args:
            address: "host:port" or "unix:/path".
            tls: The certificates; None, or a section without files, for plain text.
            deadlines: Of the calls.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: a file of the certificates can't be read.
        """
        self.address = address
        self.deadlines = deadlines or Deadlines()
        self._tls = tls if tls and tls.on else None
        self._ending: set[asyncio.Task[None]] = set()
        self._connect()

    def renew(self) -> None:
        """Take certificates that have been replaced into use: for calls that begin from now on.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: one can't be read.
        """
        if self._tls and self._tls.stamp != self._stamp:
            self._connect()  # calls under way keep the channel before, which goes with the last of them

    def _connect(self) -> None:
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        else:
            self._stamp = self._tls.stamp
            name = [("grpc.ssl_target_name_override", self._tls.server_name)]
            credentials = channel_credentials(self._tls)
            self._channel = grpc.aio.secure_channel(self.address, credentials, options=[*CHANNEL_OPTIONS, *name])
        self.stub = tts_pb2_grpc.TTSStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def __aenter__(self) -> WorkerClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled, but those that end sessions."""
        await asyncio.gather(*self._ending)
        await self._channel.close()

    async def capabilities(self) -> tts_pb2.GetCapabilitiesResponse:
        """What the worker can do."""
        return await answer(self.stub.GetCapabilities(tts_pb2.GetCapabilitiesRequest(), timeout=self.deadlines.control))

    async def healthy(self, service: str = "") -> bool:
        """Whether the worker, or one service or model of it ("model/ID"), says SERVING; False if out of reach."""
        request = health_pb2.HealthCheckRequest(service=service)
        with contextlib.suppress(grpc.aio.AioRpcError):
            response = await self._health.Check(  # type: ignore[attr-defined]  # its stubs lack the methods
                request, timeout=self.deadlines.control
            )
            return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    async def list_models(self) -> list[tts_pb2.ModelStatus]:
        """Every model that the worker knows."""
        response = await answer(self.stub.ListModels(tts_pb2.ListModelsRequest(), timeout=self.deadlines.control))
        return list(response.models)

    async def load_model(self, request: tts_pb2.LoadModelRequest) -> tts_pb2.LoadModelResponse:
        """Make a model resident; answers when it is, or at once with no_wait."""
        return await answer(self.stub.LoadModel(request, timeout=self.deadlines.load))

    async def unload_model(self, model_id: str, *, drain_timeout_ms: int = 0) -> tts_pb2.UnloadModelResponse:
        """Drain and unload a model; 0 takes the worker's own drain timeout."""
        request = tts_pb2.UnloadModelRequest(model_id=model_id, drain_timeout_ms=drain_timeout_ms)
        return await answer(self.stub.UnloadModel(request, timeout=self.deadlines.load))

    async def reload_model(self, model_id: str) -> None:
        """Re-read a model's voice pack; the old one serves until the new one is resident."""
        request = tts_pb2.ControlRequest(action=tts_pb2.CONTROL_ACTION_RELOAD, model_id=model_id)
        await answer(self.stub.Control(request, timeout=self.deadlines.load))

    async def watch_state(self) -> AsyncGenerator[tts_pb2.WorkerState]:
        """Snapshots of the worker's inventory and load: one at once, then one after each change, until it goes away.

        Raises:
            VoiceplaneError: The stream broke: UNAVAILABLE when the worker is gone.
        """
        call = self.stub.WatchState(tts_pb2.WatchStateRequest())
        try:
            async for state in call:
                yield state
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def start_session(self, request: tts_pb2.StartSessionRequest | None = None) -> WorkerSession:
        """Open a session; it must be ended. If no answer arrives, what the worker may have begun is ended.

        Raises:
            VoiceplaneError: See StartSession in the proto.
        """
        wanted = tts_pb2.StartSessionRequest()
        wanted.CopyFrom(request or tts_pb2.StartSessionRequest())
        wanted.session_id = wanted.session_id or uuid.uuid4().hex
        try:
            info = await answer(self.stub.StartSession(wanted, timeout=self.deadlines.start))
        except asyncio.CancelledError:
            self._end_unanswered(wanted.session_id)
            raise
        except VoiceplaneError as error:
            if error.code in UNANSWERED:
                self._end_unanswered(wanted.session_id)
            raise
        return WorkerSession(
            self.stub, info, credit=wanted.credit_flow_control, control_deadline=self.deadlines.control
        )

    def _end_unanswered(self, session_id: str) -> None:
        """End a session that the worker may have begun, though its answer did not arrive."""
        ending = asyncio.create_task(self._end_session(session_id), name="end-unanswered-session")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end_session(self, session_id: str) -> None:
        request = tts_pb2.EndSessionRequest(session_id=session_id)
        with contextlib.suppress(grpc.aio.AioRpcError):  # out of reach: its idle timeout ends it
            await self.stub.EndSession(request, timeout=self.deadlines.control)


async def answer(call: Awaitable[R]) -> R:
    """Await a unary call, turning its status into the error that the worker raised."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


def state_name(state: tts_pb2.ModelState.ValueType) -> str:
    """A model's state as people and JSON write it, such as "resident"."""
    return tts_pb2.ModelState.Name(state).removeprefix("MODEL_STATE_").lower()
