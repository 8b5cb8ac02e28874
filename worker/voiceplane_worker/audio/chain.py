"""One utterance's way from a model's samples to frames: resample, bring to loudness, cut, encode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common.frames import SAMPLE_RATE_HZ

from voiceplane_worker.audio.framing import Blocks, Frame, encode
from voiceplane_worker.audio.loudness import LoudnessNormalizer
from voiceplane_worker.audio.resampling import StreamResampler

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Samples


class AudioChain:
    """The chain of one utterance; its state goes on over the pieces of the text."""

    def __init__(self, *, model_rate_hz: int, gain_db: float) -> None:
        """Begin an utterance.

        Args:
            model_rate_hz: Rate of the model's samples.
            gain_db: The gain to begin with.
        """
        self._resampler = StreamResampler(from_hz=model_rate_hz, to_hz=SAMPLE_RATE_HZ)
        self._blocks = Blocks()
        self._normalizer = LoudnessNormalizer(gain_db=gain_db)

    @property
    def gain_db(self) -> float:
        """The gain now, for the next utterance of the same voice."""
        return self._normalizer.gain_db

    def push(self, samples: Samples) -> list[Frame]:
        """Take a model's samples, shape (n,); returns the frames that are complete."""
        return [self._frame(block) for block in self._blocks.push(self._resampler.process(samples))]

    def finish(self) -> list[Frame]:
        """The last frames, the very last one padded with silence."""
        frames = [self._frame(block) for block in self._blocks.push(self._resampler.flush())]
        last = self._blocks.finish()
        return [*frames, self._frame(last[0], last[1])] if last else frames

    def _frame(self, block: Samples, valid_samples: int | None = None) -> Frame:
        valid = len(block) if valid_samples is None else valid_samples
        return Frame(encode(self._normalizer.process(block)), valid)
