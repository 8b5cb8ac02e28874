"""A session: one listener's reference to a model, its epoch and its frame sequence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2

from voiceplane_worker.sessions.synthesis_stream import SynthesisStream

if TYPE_CHECKING:
    from voiceplane_worker.residency.model_reference import ModelReference
    from voiceplane_worker.sessions.session_context import SessionProfile, SessionServices


class Session:
    """A session. Confined to the event loop.

    Attributes:
        epoch: The generation epoch; frames of an older one are never sent.
        last_sequence: The sequence number of the last frame handed to the transport.
        last_active: Monotonic seconds of the last call.
    """

    def __init__(
        self, *, session_id: str, model_ref: ModelReference, profile: SessionProfile, services: SessionServices
    ) -> None:
        self.session_id = session_id
        self.model_ref = model_ref
        self.profile = profile
        self.services = services
        self.epoch = 1
        self.last_sequence = 0
        self.last_active = asyncio.get_running_loop().time()
        self._paused = False
        self._stream: SynthesisStream | None = None

    @property
    def streaming(self) -> bool:
        """Whether a Synthesize stream is open."""
        return self._stream is not None

    def touch(self) -> None:
        """Record a call of the client, for the idle timeout."""
        self.last_active = asyncio.get_running_loop().time()

    def next_sequence(self) -> int:
        """Number a frame that is sent now."""
        self.last_sequence += 1
        return self.last_sequence

    def open_stream(self) -> SynthesisStream:
        """Open the session's stream. An open one is aborted: a client that reconnects has lost it."""
        if self._stream is not None:
            taken = "another Synthesize stream of this session has taken over"
            self._stream.fail(VoiceplaneError(grpc.StatusCode.ABORTED, "STREAM_TAKEN_OVER", taken))
            self._stream.stop()
        self._stream = SynthesisStream(self)
        if self._paused:
            self._stream.frame_pacer.pause()
        self.touch()
        return self._stream

    async def close_stream(self, stream: SynthesisStream) -> None:
        """End a stream's computation."""
        if self._stream is stream:
            self._stream = None
            self.touch()
        await stream.close()

    def pause(self) -> tts_pb2.ControlResponse:
        """Pause the speech at the next frame."""
        self._paused = True
        if self._stream is not None:
            self._stream.frame_pacer.pause()
        return self.status()

    def resume(self) -> tts_pb2.ControlResponse:
        """Continue with the next sample."""
        self._paused = False
        if self._stream is not None:
            self._stream.frame_pacer.resume()
        return self.status()

    def stop(self, epoch: int) -> tts_pb2.ControlResponse:
        """Drop everything of older epochs; 0 means the current epoch plus 1."""
        return self.status(dropped_frames=self.raise_epoch(epoch or self.epoch + 1))

    def raise_epoch(self, epoch: int) -> int:
        """Enter a newer epoch: drops queued frames and ends a pause. Returns the number of dropped frames."""
        if epoch <= self.epoch:
            return 0
        self.epoch = epoch
        self._paused = False
        return self._stream.stop() if self._stream is not None else 0

    async def end(self, error: VoiceplaneError | None = None) -> None:
        """End the session and release its model; an open stream ends with the error."""
        if self._stream is not None:
            gone = VoiceplaneError(grpc.StatusCode.CANCELLED, "SESSION_ENDED", "the session was ended")
            self._stream.fail(error or gone)
            self._stream.stop()
            await self._stream.close()
        self.model_ref.release()

    def status(self, *, dropped_frames: int = 0) -> tts_pb2.ControlResponse:
        """The state of the session, as the response of Control."""
        self.touch()
        return tts_pb2.ControlResponse(
            last_sequence=self.last_sequence,
            epoch=self.epoch,
            paused=self._paused,
            dropped_frames=dropped_frames,
        )
