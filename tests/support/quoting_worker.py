"""The command voiceplane-worker with a mock model that quotes a text that it can't speak; run it with `python -m`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from voiceplane_worker import main
from voiceplane_worker.adapters import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Piece, Samples

UNSPEAKABLE = "zugzwang"

_synthesize = mock.MockModel.synthesize


def synthesize(model: mock.MockModel, piece: Piece) -> Iterator[Samples]:
    if UNSPEAKABLE in piece.text.lower():
        raise ValueError(f"no phonemes for {piece.text!r}")
    return _synthesize(model, piece)


if __name__ == "__main__":
    with patch.object(mock.MockModel, "synthesize", synthesize):
        main.main()
