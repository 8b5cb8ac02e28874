"""Reads a piece of a file from where it is, and checks that the answers are all of one and the same file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voiceplane_common.artifacts.transport import Answer, Request, TransientError, check_status
from voiceplane_common.artifacts.urls import redact
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Iterator

    import filelock

    from voiceplane_common.artifacts.files import RemoteFile
    from voiceplane_common.artifacts.partial import Partial, Piece
    from voiceplane_common.artifacts.transport import Transport
    from voiceplane_common.errors import VoiceplaneError

BLOCK_BYTES = 512 << 10
# What a server answers, of a link that was handed out for a time.
_EXPIRED = frozenset({400, 401, 403, 404, 410})


@dataclass(slots=True, eq=False, kw_only=True)
class FileOnItsWay:
    """A file that is being fetched.

    Attributes:
        remote: Where it is.
        lock: Held while this process fetches it.
        is_others: Another process held the lock.
        partial: What is here.
        rest: Pieces that wait for the answer to the first one.
        is_shared: They were given to other threads.
        ranged: Whether the server sends ranges.
        place: Where the last answer came from, after redirects.
        is_complete: A thread has taken it over to hash it to its end.
        digests: Of the whole.
    """

    remote: RemoteFile
    lock: filelock.BaseFileLock
    is_others: bool = False
    partial: Partial | None = None
    rest: list[Piece] = field(default_factory=list)
    is_shared: bool = False
    ranged: bool = True
    place: Request | None = None
    is_complete: bool = False
    digests: list[str] = field(default_factory=list)

    @property
    def opened(self) -> Partial:
        """What is here; it must have been begun."""
        if self.partial is None:
            raise RuntimeError(f"{self.remote.name} was not begun")
        return self.partial


class Reader:
    """Reads pieces; threads share it.

    Attributes:
        received_at: When the last byte came, in monotonic seconds.
        stopped: Nothing more is wanted.
    """

    def __init__(self, transport: Transport, *, uri: str, max_bytes: int) -> None:
        self._transport = transport
        self._uri = uri
        self._max_bytes = max_bytes
        self.received_at = time.monotonic()
        self.stopped = False

    def blocks(self, file: FileOnItsWay, piece: Piece) -> Iterator[bytes]:
        """A piece's missing bytes, as they come.

        Raises:
            TransientError: They broke off, or did not come.
            VoiceplaneError: The file has changed, is too large, or may not be read.
        """
        if not file.ranged and piece.done:
            file.opened.restart(piece)
        answer = self._ask(file, piece)
        try:
            self._check(file, piece, answer)
            while piece.missing != 0:
                wanted = BLOCK_BYTES if piece.missing is None else min(BLOCK_BYTES, piece.missing)
                block = answer.read(wanted)
                if self.stopped:
                    raise TransientError("the fetch has ended")
                if not block and piece.missing is None:
                    return
                if not block:
                    raise TransientError(f"{redact(answer.url)} ended {piece.missing} bytes too early")
                self.received_at = time.monotonic()
                yield block
                if piece.end is None and piece.done > self._max_bytes:
                    message = f"{self._uri} has more than the {self._max_bytes} bytes that are allowed"
                    raise failed_precondition("ARTIFACT_TOO_LARGE", message, field="source.uri")
        finally:
            answer.close()

    def _ask(self, file: FileOnItsWay, piece: Piece) -> Answer:
        """Ask where the last answer came from, or else where the source says."""
        headers: dict[str, str] = {}
        if file.ranged and piece.end is not None and (piece.position, piece.end) != (0, file.remote.size_bytes):
            headers["Range"] = f"bytes={piece.position}-{piece.end - 1}"
            if file.remote.validator:
                headers["If-Match"] = file.remote.validator
        if file.place is not None:
            answer = self._transport.open(file.place, headers=headers)
            if answer.status not in _EXPIRED:
                return answer
            answer.close()
            file.place = None
        first = file.remote.locate()
        answer = self._transport.open(first, headers=headers)
        if answer.status in {200, 206}:
            file.place = Request(url=answer.url, headers=first.headers, auth=first.auth)
        return answer

    def _check(self, file: FileOnItsWay, piece: Piece, answer: Answer) -> None:
        remote = file.remote
        if answer.status in {412, 416}:
            raise self._has_changed(file)
        check_status(answer)
        tag = answer.headers.get("ETag", "")
        if remote.validator and tag and not tag.startswith("W/") and tag != remote.validator:
            raise self._has_changed(file)
        if answer.status == 206:
            span, _, size = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if size not in {"*", str(remote.size_bytes)}:
                raise self._has_changed(file)
            if span.partition("-")[0] != str(piece.position):
                raise TransientError(f"{redact(answer.url)} answers with other bytes than those asked for")
            return
        if remote.size_bytes is not None and answer.length not in {None, remote.size_bytes}:
            raise self._has_changed(file)
        if (piece.position, piece.end) == (0, remote.size_bytes):
            return
        # It sends the whole file: there is no use for what is here, nor for a second connection.
        if file.is_shared:
            raise TransientError(f"{redact(answer.url)} answers with the whole file instead of a range")
        file.ranged = False
        file.opened.restart(piece)

    def _has_changed(self, file: FileOnItsWay) -> VoiceplaneError:
        message = f"{file.remote.name} of {self._uri} changed while it was fetched: try again"
        return failed_precondition("ARTIFACT_CHANGED", message, field="source.uri")
