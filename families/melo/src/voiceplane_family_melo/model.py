"""The voices of a loaded MeloTTS model."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import torch
from voiceplane_common.errors import not_found
from voiceplane_worker.adapters.base import Voice
from voiceplane_worker.adapters.memory import release_memory

from voiceplane_family_melo.network import Manner
from voiceplane_family_melo.text import parts_of, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

    from voiceplane_family_melo.network import Network
    from voiceplane_family_melo.text import Reader


class MeloModel:
    """A loaded model."""

    def __init__(
        self,
        network: Network,
        reader: Reader,
        pack: VoicePack,
        *,
        sample_rate_hz: int,
        speakers: dict[str, int],
        seed: int | None,
    ) -> None:
        """Prepare.

        Args:
            network: The weights.
            reader: The text front end of the model's language.
            pack: Names the voices.
            sample_rate_hz: Of the network's samples.
            speakers: The speaker's number for each voice.
            seed: The pack's.
        """
        self._network: Network | None = network
        self._reader: Reader | None = reader
        self._device = network.device
        self._speakers = speakers
        self._seed = seed
        self.sample_rate_hz = sample_rate_hz
        self.voices = tuple(Voice(name=entry.name, language=entry.language) for entry in pack.metadata.voices)
        self.memory_bytes = pack.metadata.memory_bytes or network.memory_bytes

    def synthesize(self, piece: Piece) -> Iterator[Samples]:
        """Yield a piece's audio in windows; see Model.synthesize."""
        speaker = self._speakers.get(piece.voice)
        if speaker is None:
            raise not_found("voice", f"unknown voice {piece.voice!r}: use one of {', '.join(self._speakers)}")
        seed = secrets.randbits(63) if self._seed is None else self._seed
        for part in parts_of(plain(piece.text)):
            if not any(character.isalnum() for character in part):
                continue
            if (network := self._network) is None or (reader := self._reader) is None:
                raise RuntimeError("the model is closed")
            if reading := reader.read(part):
                yield from network.speak(reading, Manner(speaker=speaker, speed=piece.speed, seed=seed))

    def close(self) -> None:
        """Free the weights, and what the libraries keep of freed memory; see Model.close."""
        self._network = self._reader = None
        release_memory()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
