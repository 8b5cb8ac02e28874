"""From steps of the generation to chunks of sound: what generate() hands its codes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_family_parler.codes import DelayedCodes

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from voiceplane_worker.adapters.base import Samples

    from voiceplane_family_parler.codec import WindowedCodec

# Frames of the first chunk, of which a second has 86, and of the later ones, which grow so far. Each costs the codec
# its context besides, and a STOP waits for one at most.
FIRST_FRAMES, MORE_FRAMES, MOST_FRAMES = 8, 4, 16


class SpokenError(Exception):
    """The speech is over: nothing that generate() would still do is needed.

    It would go on until each codebook has ended, which may never be, and then decode all that it has given out again.
    """


class ChunkStreamer:
    """Decodes frames as soon as their context has come, and emits them. It is put and ended by generate()."""

    def __init__(
        self, codec: WindowedCodec, *, codebooks: int, most_frames: int, emit: Callable[[Samples], None]
    ) -> None:
        """Begin.

        Args:
            codec: Decodes.
            codebooks: Of a frame.
            most_frames: Speech ends here, if the model does not end it before.
            emit: Takes each chunk, and raises if no further one is wanted.
        """
        self._codec = codec
        self._codes = DelayedCodes(codebooks=codebooks, codebook_size=codec.codebook_size, most_frames=most_frames)
        self._emit = emit
        self._begun = False
        self._emitted = 0
        self._size = FIRST_FRAMES

    def put(self, step: torch.Tensor) -> None:
        """Take a step's codes, of shape (codebooks,); the first call brings the start of the sequence instead."""
        if not self._begun:
            self._begun = True
            return
        self._codes.add(step)
        while frames := self._due():
            self._speak(frames)
        if self._codes.ended:
            raise SpokenError

    def end(self) -> None:
        """Called when generate() ends by itself; by then put() has seen the end."""

    def _due(self) -> int:
        """How many frames can be decoded as the next chunk."""
        known = self._codes.frames
        if self._codes.ended:
            return min(self._size, known - self._emitted)
        return self._size if known >= self._emitted + self._size + self._codec.context_frames else 0

    def _speak(self, frames: int) -> None:
        begin, end = self._emitted, self._emitted + frames
        first = max(0, begin - self._codec.context_frames)
        codes = self._codes.between(first, min(self._codes.frames, end + self._codec.context_frames))
        self._emitted = end
        self._size = min(MOST_FRAMES, self._size + MORE_FRAMES)
        self._emit(self._codec.decode(codes, skip=begin - first, frames=frames))
