"""The client's playout buffer: plays reply audio, and knows what was heard, for barge-in.

Pure: frames go in as they arrive, PCM comes out as the sound device or a recording takes it, both at any pace.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What has been heard.

    Attributes:
        utterance: Its number; 0 before the first.
        media_time_samples: Where in the utterance the next sample to be played lies, at 48 kHz.
    """

    utterance: int = 0
    media_time_samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFrame:
    """Reply audio as it came over the wire.

    Attributes:
        epoch: The generation epoch; a frame of an older one is never played.
        utterance: Its utterance's number.
        media_time_samples: Where it begins in the utterance, at 48 kHz.
        end: It is the utterance's last frame.
        pcm: Mono s16le at 48 kHz.
    """

    epoch: int
    utterance: int
    media_time_samples: int
    end: bool
    pcm: bytes


class PlayoutBuffer:
    """A jitter buffer that pauses, resumes at the exact sample, and drops what is stale.

    Attributes:
        epoch: The newest that is known.
        cursor: What has been heard.
        paused: No sound until resume().
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.cursor = Cursor()
        self.paused = False
        self._frames: deque[ReplyFrame] = deque()
        self._offset_bytes = 0  # of the first frame, played already
        self._ended: set[int] = set()

    @property
    def buffered_samples(self) -> int:
        """Samples that wait to be played."""
        return (sum(len(frame.pcm) for frame in self._frames) - self._offset_bytes) // 2

    def push(self, frame: ReplyFrame) -> bool:
        """Take a frame; False if it is stale and was dropped. A newer epoch drops what is older."""
        if frame.epoch < self.epoch:
            return False
        if frame.epoch > self.epoch:
            self.stop(epoch=frame.epoch)
        self._frames.append(frame)
        return True

    def pause(self) -> None:
        """Pause at the next sample; the buffer is kept."""
        self.paused = True

    def resume(self) -> None:
        """Continue with the sample after the last one that was heard."""
        self.paused = False

    def stop(self, *, epoch: int) -> None:
        """Drop everything of an older epoch; a new epoch is not paused.

        A STOP of an epoch that is not newer is one that has been seen, and changes nothing.
        """
        if epoch <= self.epoch:
            return
        self.epoch = epoch
        self.paused = False
        self._frames.clear()
        self._offset_bytes = 0

    def pull(self, samples: int) -> bytes:
        """The next speech: at most so many samples, less if less is there, nothing while paused.

        Returns:
            Mono s16le at 48 kHz, without silence put in: the caller fills what is missing.
        """
        if self.paused:
            return b""
        out = bytearray()
        wanted = 2 * samples
        while self._frames and len(out) < wanted:
            frame = self._frames[0]
            piece = frame.pcm[self._offset_bytes : self._offset_bytes + wanted - len(out)]
            out += piece
            self._offset_bytes += len(piece)
            media_time = frame.media_time_samples + self._offset_bytes // 2
            self.cursor = Cursor(utterance=frame.utterance, media_time_samples=media_time)
            if self._offset_bytes == len(frame.pcm):
                self._frames.popleft()
                self._offset_bytes = 0
                if frame.end:
                    self._ended.add(frame.utterance)
        return bytes(out)

    def has_ended(self, utterance: int) -> bool:
        """Whether an utterance has been heard to its end."""
        return utterance in self._ended
