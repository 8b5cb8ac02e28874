"""The usage that is reported for speech, in tokens as OpenAI counts them; no tokenizer is involved here."""

from __future__ import annotations

from voiceplane_common.frames import SAMPLE_RATE_HZ

CHARACTERS_PER_TOKEN = 4
AUDIO_TOKENS_PER_S = 20


def speech_usage(*, text: str, samples: int) -> dict[str, int]:
    """The usage of one file, an estimate: a token for 4 characters of text, and for 50 ms of speech.

    Args:
        text: What was spoken.
        samples: The length of the speech, at 48,000 Hz.
    """
    input_tokens = -(-len(text) // CHARACTERS_PER_TOKEN)
    output_tokens = -(-samples * AUDIO_TOKENS_PER_S // SAMPLE_RATE_HZ)
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
    }
