"""Transcripts as captions and JSON."""

from __future__ import annotations

from voiceplane_orchestrator.transports.http.transcript_formats import to_json, to_srt, to_verbose_json, to_vtt
from voiceplane_speech_input.asr.file_process import TimedWord, TranscriptSegment

WORDS = (
    TimedWord(word="Hello", start_s=0.0, end_s=0.4, probability=0.9),
    TimedWord(word="there.", start_s=0.4, end_s=1.2345, probability=0.9),
)
SEGMENTS = (
    TranscriptSegment(start_s=0.0, end_s=1.2345, text="Hello there.", words=WORDS),
    TranscriptSegment(start_s=3661.5, end_s=3662.0, text="A --> b."),
)


def test_srt_numbers_its_captions_and_has_commas() -> None:
    assert to_srt(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:01,234\nHello there.\n\n2\n01:01:01,500 --> 01:01:02,000\nA --> b.\n\n"
    )


def test_vtt_has_its_header_and_no_arrow_in_a_text() -> None:
    assert to_vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.234\nHello there.\n\n01:01:01.500 --> 01:01:02.000\nA -> b.\n\n"
    )


def test_json_has_text_and_usage() -> None:
    usage = {"type": "duration", "seconds": 3}
    assert to_json(SEGMENTS, duration_s=2.6) == {"text": "Hello there. A --> b.", "usage": usage}


def test_verbose_json_has_what_was_asked_for() -> None:
    def keys(*granularities: str) -> set[str]:
        made = to_verbose_json(
            SEGMENTS,
            task="transcribe",
            language="en",
            duration_s=2.6,
            granularities=granularities,  # type: ignore[arg-type]
        )
        return {"words", "segments"} & made.keys()

    assert keys() == keys("segment") == {"segments"}
    assert keys("word") == {"words"}
    assert keys("word", "segment") == {"words", "segments"}
