"""The Kokoro family: loads the model and its voices, and speaks a piece in one step, or in several if it is long.

It does not stream inside of a step. The vocoder normalizes its layers over the whole time axis: a window by itself
sounds otherwise than in the whole, and the statistics of the whole are known at its end only. The
figures are in docs/explanation/performance.md.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from kokoro_onnx.chunker import split_phonemes
from kokoro_onnx.config import SAMPLE_RATE
from voiceplane_common.errors import VoiceplaneError, failed_precondition, not_found
from voiceplane_family_kit.onnx_session import check_device, open_session
from voiceplane_family_kit.time_stretch import at_speed, split_speed
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_leftovers, release_memory
from voiceplane_worker.adapters.pack_files import invalid_file, one_line, pack_file

from voiceplane_family_kokoro import FAMILY
from voiceplane_family_kokoro.phonemes import phonemes_of, token_ids
from voiceplane_family_kokoro.trimming import trim

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from voiceplane_family_kit.onnx_session import Session
    from voiceplane_worker.adapters.base import FamilyTraits, Piece, Samples
    from voiceplane_worker.packs.metadata import PackVoice
    from voiceplane_worker.packs.pack import VoicePack

# Phonemes of one step, at most: about 6 s of speech. The model takes 510, but a STOP and other streams wait for a step
# to end, and a listener waits for the first.
STEP_PHONEMES = 100
STYLE_SIZE = 256
# Exports name the phonemes' input so or so. One whose speed is a whole number can't speak at 1.2.
TOKEN_INPUTS = ("tokens", "input_ids")
INPUT_TYPES = {"style": "tensor(float)", "speed": "tensor(float)"}


class KokoroAdapter:
    """Loads Kokoro models. A pack names two files: "model" (ONNX) and "voices" (npz: a style for each voice)."""

    traits: ClassVar[FamilyTraits] = FAMILY.traits

    def load(self, pack: VoicePack, *, device: str, threads: int) -> KokoroModel:
        """Load a model; see Adapter.load."""
        check_device(device)
        model_file, voices_file = pack_file(pack, "model"), pack_file(pack, "voices")
        styles = _read_styles(voices_file, pack.metadata.voices)
        for voice in pack.metadata.voices:
            _check_language(pack, voice)
        try:
            session = _open(model_file, device=device, threads=threads)
        finally:
            release_leftovers()  # the file, or what failed
        return KokoroModel(
            session,
            styles=styles,
            voices=tuple(Voice(name=voice.name, language=voice.language) for voice in pack.metadata.voices),
            memory_bytes=pack.metadata.memory_bytes or model_file.stat().st_size,
        )


class KokoroModel:
    """A loaded model with its voices."""

    def __init__(
        self, session: Session, *, styles: dict[str, Samples], voices: tuple[Voice, ...], memory_bytes: int
    ) -> None:
        self._session: Session | None = session
        self._tokens = _token_input(session)
        self._styles = styles
        self.sample_rate_hz: int = SAMPLE_RATE
        self.voices = voices
        self.memory_bytes = memory_bytes

    def synthesize(self, piece: Piece) -> Generator[Samples]:
        """Yield a piece's audio, step by step; see Model.synthesize."""
        by_model, rest = split_speed(piece.speed)
        return at_speed(self._speak_steps(piece, speed=by_model), speed=rest, sample_rate_hz=self.sample_rate_hz)

    def _speak_steps(self, piece: Piece, *, speed: float) -> Generator[Samples]:
        if piece.voice not in self._styles:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._styles)}")
        phonemes = phonemes_of(piece.text, language=piece.language)
        for part in split_phonemes(phonemes, STEP_PHONEMES):
            if any(symbol.isalpha() for symbol in part):
                yield self._speak(part, self._styles[piece.voice], speed=speed)

    def close(self) -> None:
        """Free the session."""
        self._session = None
        release_memory()

    def _speak(self, phonemes: str, styles: Samples, *, speed: float) -> Samples:
        if (session := self._session) is None:
            raise RuntimeError("the model is closed")
        ids = token_ids(phonemes)
        feeds = {
            self._tokens: np.array([[0, *ids, 0]], dtype=np.int64),
            "style": styles[min(len(ids), len(styles)) - 1][np.newaxis],  # a voice has a style for each length
            "speed": np.array([speed], dtype=np.float32),
        }
        audio: Samples = session.run(None, feeds)[0].reshape(-1)
        # The model goes a little beyond 1 now and then.
        return np.clip(trim(audio, phonemes, sample_rate_hz=SAMPLE_RATE, speed=speed), -1.0, 1.0)


def _open(file: Path, *, device: str, threads: int) -> Session:
    try:
        session = open_session(str(file), device=device, threads=threads)
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise invalid_file(file, f"can't be run: {one_line(error)}") from None
    types = {entry.name: entry.type for entry in session.get_inputs()}
    if types != {_token_input(session): "tensor(int64)", **INPUT_TYPES}:
        wanted = "tokens or input_ids (int64), style (float) and speed (float)"
        raise invalid_file(file, f"takes {', '.join(map(' '.join, types.items()))}, and a Kokoro model takes {wanted}")
    return session


def _token_input(session: Session) -> str:
    names = [entry.name for entry in session.get_inputs()]
    return next((name for name in TOKEN_INPUTS if name in names), TOKEN_INPUTS[0])


def _read_styles(file: Path, voices: tuple[PackVoice, ...]) -> dict[str, Samples]:
    """The styles of the pack's voices, each of the shape (lengths, 256): row n is for n + 1 phonemes."""
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            for voice in voices:
                if voice.name not in archive.files:
                    raise invalid_file(file, f"has no voice {voice.name!r}, but {', '.join(sorted(archive.files))}")
            return {voice.name: _style(archive[voice.name]) for voice in voices}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise invalid_file(file, f"is not an npz of voices: {one_line(error)}") from None


def _style(values: Samples) -> Samples:
    if values.dtype != np.float32 or not values.size or values.shape[-1] != STYLE_SIZE:
        raise ValueError(
            f"a voice is an array of {values.dtype} {values.shape}, and float32 (…, {STYLE_SIZE}) is needed"
        )
    return values.reshape(-1, STYLE_SIZE)


def _check_language(pack: VoicePack, voice: PackVoice) -> None:
    """Load a voice's phonemizer, so that a language that can't be read fails the load, and no listener waits for it."""
    try:
        phonemes_of("1", language=voice.language)
    except VoiceplaneError as error:
        message = f"voice pack {pack.metadata.model_id!r}, voice {voice.name!r}: {error.message}"
        raise failed_precondition("PACK_INVALID", message, field="voices") from None
