"""What unauthenticated clients may send, each as a function of bytes that fails if it is handled wrongly.

tests/unit/test_fuzz_targets.py runs all of them on examples, and `just fuzz TARGET SECONDS` for as long as told, guided
by the code that is reached.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.api_keys import read_keys
from voiceplane_common.artifacts.archives import SUFFIXES, unpack
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.transports.messages import decode
from voiceplane_worker.packs.metadata import METADATA_FILE, read_metadata
from voiceplane_worker.text.boundary_rules import speakable
from voiceplane_worker.text.normalisation import normaliser
from voiceplane_worker.text.policy import TextPolicy
from voiceplane_worker.text.reader import TextReader
from voiceplane_worker.text.tidy import with_pauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from voiceplane_worker.text.segmenter import TextSegment

LANGUAGES = ("en-US", "ja", "zh", "de", "ar", "tlh", "", "fr", "es", "it", "pt-BR", "nl", "pl")
POLICIES = (
    TextPolicy(),
    TextPolicy(markup="speak", emoji="name"),
    TextPolicy(markup="ssml", inline_phonemes=True),
    TextPolicy(normalise="none", inline_phonemes=True),
)
MAX_SEGMENT_CHARS = 1_000
"""No piece may be much longer than a speaker's breath, whatever the text is."""


def websocket(data: bytes) -> None:
    """A control message: it is one, or the error says in one line what is wrong with it."""
    text = data.decode(errors="replace")
    try:
        message = decode(text)
    except VoiceplaneError as error:
        _check_words(error)
    else:
        assert decode(message.model_dump_json(exclude_none=True)) == message


def metadata(data: bytes) -> None:
    """The metadata.yaml of a voice pack: its names stay inside of the pack."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / METADATA_FILE
        file.write_bytes(data)
        try:
            found = read_metadata(file)
        except VoiceplaneError as error:
            _check_words(error)
            return
    for name in (*found.files.values(), *found.allow_pickle, *filter(None, (found.reference,))):
        assert (Path("/pack") / name).resolve().is_relative_to("/pack")


def keys(data: bytes) -> None:
    """A file of API keys."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.yaml"
        file.write_bytes(data)
        with contextlib.suppress(VoiceplaneError):
            read_keys(file)


def text(data: bytes) -> None:
    """Text to be spoken, in chunks that the first bytes choose: they do not change what is said, or of which text."""
    sizes = [1 + byte for byte in data[:4]] or [1]
    whole = data[4:].decode(errors="replace")

    def segments(sizes: list[int]) -> list[TextSegment]:
        reader = TextReader(
            language=LANGUAGES[sum(data[:4]) % len(LANGUAGES)],
            segmentation="clause" if sum(data[:1]) % 2 else "sentence",
            policy=POLICIES[sum(data[:2]) % len(POLICIES)],
        )
        found, at = [], 0
        while at < len(whole):
            size = sizes[at % len(sizes)]
            found += reader.push(whole[at : at + size])
            at += size
        return [*found, *reader.flush()]

    if (rules := normaliser(LANGUAGES[sum(data[:4]) % len(LANGUAGES)])) is not None:
        rules.spoken(with_pauses(whole[:400]))  # the reader goes on without it; here, a failure is one
    pieces = segments(sizes)
    assert pieces == segments([len(whole) or 1])
    end, last_start = 0, 0
    for piece in pieces:
        assert last_start <= piece.start < piece.end <= len(whole)
        assert piece.end >= end
        assert piece.text.strip() == piece.text
        assert speakable(piece.text)
        assert len(piece.text) <= MAX_SEGMENT_CHARS
        assert all(letter.isprintable() for letter in piece.text if letter.isascii())
        last_start, end = piece.start, piece.end


def archive(data: bytes) -> None:
    """A voice pack as an archive: whatever it holds, nothing is written outside of the cache."""
    suffix = SUFFIXES[data[0] % len(SUFFIXES)] if data else SUFFIXES[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = root / f"pack{suffix}"
        file.write_bytes(data[1:])
        with contextlib.suppress(VoiceplaneError):
            unpacked = unpack(file, cache_dir=root / "cache")
            assert unpacked.resolve().is_relative_to((root / "cache").resolve())
            assert not any(path.is_symlink() for path in unpacked.rglob("*"))
        assert {path.name for path in root.iterdir()} <= {file.name, "cache"}


def _check_words(error: VoiceplaneError) -> None:
    assert error.message
    assert len(error.message.splitlines()) == 1
    assert len(error.message) < 5_000


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (websocket, metadata, keys, text, archive)
}

SEEDS: dict[str, tuple[bytes, ...]] = {
    "websocket": (
        json.dumps({"type": "hello", "version": 1, "sample_rate_hz": 16_000, "speed": 1.5}).encode(),
        json.dumps({"type": "text", "text": "Good morning.", "end": True}).encode(),
        json.dumps({"type": "playout", "utterance": 1, "media_time_samples": 960}).encode(),
    ),
    "metadata": (
        b"model_id: a\nfamily: mock\nlicence: MIT\nvoices:\n  - {name: a, language: en-US}\n",
        b"model_id: b\nfamily: mock\nlicence: MIT\nvoices: [{name: a, language: ja}]\nreference: ref/seed.wav\n",
        b"model_id: c\nfamily: mock\nlicence: MIT\nvoices: [{name: a, language: ja}]\nfiles: {model: onnx/a.onnx}\n",
    ),
    "keys": (b"keys:\n  - {name: a, sha256: '" + b"0" * 64 + b"', expires: 2030-01-01T00:00:00Z}\n",),
    "text": (
        b"\x00\x00\x00\x00# A **title**\n- [a](b) `c` $x^2$ <b>d</b> &amp; | e |\n<think>f</think>$5 [[g]]",
        b'\x00\x02\x00\x00<speak>a<break time="1s"/><sub alias="b">c</sub></speak>',
        b"\x01\x05\x02\x09Dr. Smith paid $3.50, and left at 5 p.m. It rained. \xe4\xbb\x8a\xe5\xa4\xa9\xe3\x80\x82",
    ),
    "archive": (b"\x00", b"\x04PK\x03\x04"),
}
"""Where each begins: valid examples, from which the fuzzer goes on."""
