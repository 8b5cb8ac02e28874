"""A frame of speech on its way to the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFrame:
    """20 ms of speech.

    Attributes:
        pcm: 1,920 bytes: 960 samples, s16le, mono, 48,000 Hz.
        sequence: Counts the frames of a session from 1, across workers.
        media_time_samples: Where it begins in its utterance, across workers.
        utterance_id: Its utterance.
        epoch: The generation epoch of its utterance.
        valid_samples: Samples of pcm that are speech; 0 if the utterance had nothing to speak.
        end: Whether it is the last frame of its utterance.
        text_start: Start of the range of the utterance's text that it speaks, in code points.
        text_end: End of that range, exclusive.
        compute_us: In the last frame: the worker's compute time for the utterance, in microseconds.
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
