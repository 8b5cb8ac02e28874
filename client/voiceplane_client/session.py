"""A session with a worker: speak, pause, resume, stop, end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import weakref
from typing import TYPE_CHECKING, Self

import grpc
from voiceplane_common.errors import VoiceplaneError, from_rpc_error, unavailable
from voiceplane_proto.v1 import tts_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from voiceplane_proto.v1 import tts_pb2_grpc

DEFAULT_CREDIT_FRAMES = 50
"""One second of audio may be on its way to us, unless the caller grants otherwise."""


# Half of a surrogate pair can't be encoded; a JSON reader gives one for each broken escape.
_SURROGATES = re.compile("[\ud800-\udfff]")

# What grpc.aio puts in place of the peer's status when a write fails that was under way as the stream ended.
WRITE_FAILED = "Internal error from Core"


class WorkerSession:
    """A session; use as an asynchronous context manager, or end() it.

    Attributes:
        info: What the worker answered to StartSession.
        epoch: The newest generation epoch that this side knows; frames of an older one are dropped.
    """

    def __init__(
        self,
        stub: tts_pb2_grpc.TTSAsyncStub,
        info: tts_pb2.StartSessionResponse,
        *,
        credit: bool,
        control_deadline: float,
    ) -> None:
        self.info = info
        self.epoch = 0
        self._stub = stub
        self._credit = credit
        self._deadline = control_deadline
        self._streams: weakref.WeakSet[SpeechStream] = weakref.WeakSet()

    @property
    def session_id(self) -> str:
        """The session's id, as in the worker's logs."""
        return self.info.session_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    def open_stream(
        self, *, credit_frames: int = DEFAULT_CREDIT_FRAMES, headers: Sequence[tuple[str, str]] = ()
    ) -> SpeechStream:
        """Open a Synthesize stream.

        Args:
            credit_frames: With credit flow control, how many frames may be on their way at once.
            headers: Sent with the call, such as a W3C `traceparent`.
        """
        call = self._stub.Synthesize(metadata=tuple(headers))
        stream = SpeechStream(self, call, credit_frames=credit_frames if self._credit else 0)
        self._streams.add(stream)
        return stream

    async def pause(self) -> tts_pb2.ControlResponse:
        """Pause at the next frame boundary."""
        return await self._control(tts_pb2.CONTROL_ACTION_PAUSE)

    async def resume(self) -> tts_pb2.ControlResponse:
        """Continue at the exact next sample."""
        return await self._control(tts_pb2.CONTROL_ACTION_RESUME)

    async def stop(self, *, epoch: int = 0) -> tts_pb2.ControlResponse:
        """Drop all that is queued and raise the epoch, to the given one or by 1."""
        self.epoch = max(self.epoch, epoch)  # before the call: frames on their way are stale from now on
        response = await self._control(tts_pb2.CONTROL_ACTION_STOP, epoch=epoch)
        for stream in tuple(self._streams):
            await stream.forget_stopped()
        return response

    async def end(self) -> None:
        """End the session. Idempotent; a worker that has gone away has ended it, too."""
        try:
            await self._stub.EndSession(tts_pb2.EndSessionRequest(session_id=self.session_id), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise from_rpc_error(error) from None

    async def _control(self, action: tts_pb2.ControlAction.ValueType, *, epoch: int = 0) -> tts_pb2.ControlResponse:
        request = tts_pb2.ControlRequest(session_id=self.session_id, action=action, epoch=epoch)
        try:
            response = await self._stub.Control(request, timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        self.epoch = max(self.epoch, response.epoch)
        return response


class SpeechStream:
    """One Synthesize stream: send text, iterate over frames.

    With credit flow control, each frame that the caller takes from the iterator grants the worker another one: a
    caller that stops taking frames stops the model.
    """

    def __init__(
        self,
        session: WorkerSession,
        call: grpc.aio.StreamStreamCall[tts_pb2.TextChunk, tts_pb2.AudioFrame],
        *,
        credit_frames: int,
    ) -> None:
        self._session = session
        self._call = call
        self._credit_frames = credit_frames
        self._consumed = 0
        self._greeted = False
        self._finishing = False
        self._unended: dict[str, int] = {}
        self._writing = asyncio.Lock()
        self._ending: asyncio.Task[VoiceplaneError] | None = None
        call.add_done_callback(self._remember_ending)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    async def send(
        self, text: str, *, utterance_id: str, epoch: int = 0, flush: bool = False, end: bool = False
    ) -> None:
        """Send a piece of text of any size.

        Args:
            text: May begin and end anywhere. A lone surrogate is sent as U+FFFD, which is not spoken.
            utterance_id: The utterance that it belongs to.
            epoch: Its generation epoch; 0 for the session's present one.
            flush: Speak it without waiting for the end of its clause.
            end: No more text for this utterance.

        Raises:
            VoiceplaneError: The stream has ended: the worker's reason.
        """
        self._session.epoch = max(self._session.epoch, epoch)
        text = _SURROGATES.sub("\ufffd", text)
        self._unended[utterance_id] = epoch or self._session.epoch
        await self._write(
            tts_pb2.TextChunk(utterance_id=utterance_id, epoch=epoch, text=text, flush=flush, end_of_utterance=end)
        )

    async def finish(self) -> None:
        """Announce that no more text follows; the iterator ends after the last frame."""
        self._finishing = True
        if not (self._credit_frames and self._unended):  # credit needs the sending half until the end
            await self._half_close()

    async def forget_stopped(self) -> None:
        """Stop waiting for the ends of utterances that were stopped."""
        self._unended = {name: epoch for name, epoch in self._unended.items() if epoch >= self._session.epoch}
        if self._finishing and not self._unended:
            await self._half_close()

    def cancel(self) -> None:
        """Cancel the stream; the worker stops its synthesis."""
        self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[tts_pb2.AudioFrame]:
        try:
            async for frame in self._call:
                await self._account(frame)
                if frame.epoch >= self._session.epoch:
                    yield frame
        except grpc.aio.AioRpcError:
            raise await self._reason() from None

    async def _account(self, frame: tts_pb2.AudioFrame) -> None:
        if frame.end:
            self._unended.pop(frame.utterance_id, None)
            if self._finishing and not self._unended:
                await self._half_close()
                return
        self._consumed += 1
        if self._credit_frames and self._consumed * 2 >= self._credit_frames:
            grant, self._consumed = self._consumed, 0
            with contextlib.suppress(VoiceplaneError):  # reading reports the stream's end, after its last frames
                await self._write(tts_pb2.TextChunk(credit_frames=grant))

    async def _write(self, chunk: tts_pb2.TextChunk) -> None:
        async with self._writing:  # a call takes one write at a time, and grants come from the reading side
            if not self._greeted:
                self._greeted = True
                chunk.session_id = self._session.session_id
                chunk.credit_frames += self._credit_frames
            try:
                if not self._call.done():
                    await self._call.write(chunk)
                    return
            except grpc.aio.AioRpcError:
                pass
            raise await self._reason()

    async def _half_close(self) -> None:
        async with self._writing:
            if not self._call.done():
                await self._call.done_writing()

    def _remember_ending(self, _call: object) -> None:
        # At once: a write that fails later replaces the status that the worker gave.
        self._ending = self._ending or asyncio.get_running_loop().create_task(self._read_status())

    async def _reason(self) -> VoiceplaneError:
        """Why the stream has ended."""
        reason = await self._ending if self._ending is not None else None
        if reason is None or reason.message == WRITE_FAILED:
            message = "the worker ended the stream while text was on its way: its log says why; open another one"
            return unavailable("STREAM_ENDED", message)
        return reason

    async def _read_status(self) -> VoiceplaneError:
        error = grpc.aio.AioRpcError(
            await self._call.code(),
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            details=await self._call.details(),
        )
        return from_rpc_error(error)
