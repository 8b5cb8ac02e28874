"""The forms of a transcript: those of OpenAI's response_format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceplane_speech_input.asr.file_process import TranscriptSegment

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]

CONTENT_TYPES: dict[TranscriptFormat, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}


def joined(segments: Sequence[TranscriptSegment]) -> str:
    """The text of all segments."""
    return " ".join(segment.text for segment in segments if segment.text)


def to_srt(segments: Sequence[TranscriptSegment]) -> str:
    """Captions as SubRip."""
    return "".join(
        f"{number}\n{_clock(segment.start_s, ',')} --> {_clock(segment.end_s, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(segments, 1)
    )


def to_vtt(segments: Sequence[TranscriptSegment]) -> str:
    """Captions as WebVTT (https://www.w3.org/TR/webvtt1/)."""
    cues = (
        f"{_clock(segment.start_s, '.')} --> {_clock(segment.end_s, '.')}\n{segment.text.replace('-->', '->')}\n\n"
        for segment in segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def to_json(segments: Sequence[TranscriptSegment], *, duration_s: float) -> dict[str, object]:
    """The text, and the length of the audio as its usage."""
    return {"text": joined(segments), "usage": usage(duration_s)}


def to_verbose_json(
    segments: Sequence[TranscriptSegment],
    *,
    task: str,
    language: str,
    duration_s: float,
    granularities: Sequence[Granularity],
) -> dict[str, object]:
    """The text with times and Whisper's figures."""
    result: dict[str, object] = {
        "task": task,
        "language": language,
        "duration": round(duration_s, 3),
        "text": joined(segments),
        "usage": usage(duration_s),
    }
    if "word" in granularities:
        result["words"] = [
            {"word": word.word, "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for segment in segments
            for word in segment.words
        ]
    if "segment" in granularities or not granularities:
        result["segments"] = [_segment(number, segment) for number, segment in enumerate(segments)]
    return result


def usage(duration_s: float) -> dict[str, object]:
    """OpenAI's usage of a model that is paid by the length of the audio."""
    return {"type": "duration", "seconds": max(1, round(duration_s))}


def _segment(number: int, segment: TranscriptSegment) -> dict[str, object]:
    return {
        "id": number,
        "seek": round(segment.start_s * 100),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_probability,
    }


def _clock(seconds: float, decimal_mark: str) -> str:
    """Hours, minutes, seconds and milliseconds."""
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{decimal_mark}{ms % 1000:03}"
