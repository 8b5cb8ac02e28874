"""A frame of speech on its way to a listener."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFrame:
    """20 ms of speech.

    Attributes:
        pcm: 1,920 bytes: 960 samples, s16le, mono, 48,000 Hz.
        sequence: Counts the frames of a speaker from 1, over changes of worker.
        media_time_samples: Where it begins in its utterance; goes on over a change of worker.
        utterance_id: Its utterance.
        epoch: The generation epoch of its utterance.
        valid_samples: Samples of pcm that are speech; 0 in an utterance that held nothing to speak.
        end: The last one of its utterance.
        text_start: The piece of the utterance's text that it speaks, in code points,
        text_end: end exclusive.
        compute_us: In the last one: what its worker computed for the utterance, in microseconds.
    """

    pcm: bytes
    sequence: int
    media_time_samples: int
    utterance_id: str
    epoch: int
    valid_samples: int
    end: bool
    text_start: int
    text_end: int
    compute_us: int = 0
