"""What bounds a fetch: its deadline by progress, its retries, its connections and its size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """The bounds of one fetch.

    Attributes:
        stall_s: Seconds without one byte after which it fails. How long the whole takes is not bounded.
        connections: Requests at the same time.
        piece_bytes: A file is fetched in pieces of this size, several at once.
        attempts: Requests in a row that may fail without a byte before the fetch does.
        backoff_s: The pause after the first failure; it doubles with each, up to 15 s.
        max_bytes: A larger artifact is refused before it is fetched.
        max_files: An artifact of more files is refused.
    """

    stall_s: float = 60.0
    connections: int = 8
    piece_bytes: int = 16 << 20
    attempts: int = 6
    backoff_s: float = 0.5
    max_bytes: int = 256 << 30
    max_files: int = 10_000

    def pause_s(self, failures: int) -> float:
        """How long to wait after that many failures in a row."""
        return float(min(self.backoff_s * 2.0 ** min(failures - 1, 16), 15.0))
