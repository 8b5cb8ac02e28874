"""The windows in which a convolutional decoder (HiFi-GAN) turns the latents of a sentence into sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Latents in the windows of a sentence; the last size repeats. A latent is about 12 ms of audio. The first is small for
# an early first sound, yet lasts while the second is computed. A window costs its context besides, so the sizes grow;
# they stop growing so that a STOP, or another stream's first sound, never waits long for a step to end.
WINDOWS = (12, 36, 128)
# A rest smaller than this share of its window is decoded with it: a window of its own would be mostly context.
MERGED_REST = 0.34


def windows(total: int) -> Iterator[tuple[int, int]]:
    """Cut a sentence of so many latents into windows that follow one another: (start, end)."""
    start, index = 0, 0
    while start < total:
        size = WINDOWS[min(index, len(WINDOWS) - 1)]
        end = start + size
        if total - end <= size * MERGED_REST:
            end = total
        yield start, end
        start, index = end, index + 1
