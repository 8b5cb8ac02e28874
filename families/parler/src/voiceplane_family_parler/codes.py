"""The codes of speech as they are generated: frames, whose codebooks come one step after the other.

Step s brings the first codebook's code of frame s, the second's of frame s - 1, and so on; so a frame is whole when
the last codebook's code has come. The first codebook says where speech ends.
"""

from __future__ import annotations

import torch


class DelayedCodes:
    """The codes of one utterance, out of its steps."""

    def __init__(self, *, codebooks: int, codebook_size: int, most_frames: int) -> None:
        """Begin.

        Args:
            codebooks: How many a frame has.
            codebook_size: Codes from here on are marks, and no sound.
            most_frames: Speech ends here, if the model does not end it before.
        """
        self._codebooks = codebooks
        self._codebook_size = codebook_size
        self._steps: list[torch.Tensor] = []
        self._end = most_frames

    @property
    def frames(self) -> int:
        """How many frames are whole."""
        return min(self._end, max(0, len(self._steps) - self._codebooks + 1))

    @property
    def ended(self) -> bool:
        """Whether no further frame will come."""
        return self.frames == self._end

    def add(self, step: torch.Tensor) -> None:
        """Take a step's codes, of shape (codebooks,)."""
        if int(step[0]) >= self._codebook_size:
            self._end = min(self._end, len(self._steps))
        self._steps.append(step)

    def between(self, first: int, end: int) -> torch.Tensor:
        """The codes of whole frames, of shape (codebooks, end - first)."""
        steps = torch.stack(self._steps[first : end + self._codebooks - 1], dim=1)
        return torch.stack([steps[book, book : book + end - first] for book in range(self._codebooks)])
