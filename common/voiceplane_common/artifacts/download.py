"""Downloads files into the cache: several pieces at once, resumed, checked, bounded.

The caller's thread coordinates: it takes each file's lock, reports progress, and ends everything when a file fails, the
caller cancels, or no byte comes. Worker threads take pieces from a queue. Hashes follow the data from the file's start,
in whichever thread has just finished a piece.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import filelock

from voiceplane_common.artifacts.blobs import touch
from voiceplane_common.artifacts.partial import Partial
from voiceplane_common.artifacts.pieces import FileOnItsWay, Reader
from voiceplane_common.artifacts.transport import TransientError
from voiceplane_common.artifacts.urls import redact
from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voiceplane_common.artifacts.blobs import Blob, Blobs
    from voiceplane_common.artifacts.files import RemoteFile
    from voiceplane_common.artifacts.limits import FetchLimits
    from voiceplane_common.artifacts.partial import Piece
    from voiceplane_common.artifacts.progress import Meter
    from voiceplane_common.artifacts.transport import Transport

_log = get_logger("artifacts")
_TICK_S = 0.1
_JOIN_S = 0.8
# How often files that are here already are noted as used: well within the grace period of `pruning`.
_TOUCH_S = 60.0
# What these say about a file makes the bytes that are here useless.
_WORTHLESS = frozenset({"DIGEST_MISMATCH", "ARTIFACT_CHANGED", "ARTIFACT_TOO_LARGE"})


class Download:
    """One run over the files of an artifact."""

    def __init__(self, *, blobs: Blobs, transport: Transport, limits: FetchLimits, meter: Meter, uri: str) -> None:
        self._blobs = blobs
        self._transport = transport
        self._limits = limits
        self._meter = meter
        self._uri = redact(uri)
        self._reader = Reader(transport, uri=self._uri, max_bytes=limits.max_bytes)
        self._changed = threading.Condition()
        self._queue: deque[tuple[FileOnItsWay, Piece | None]] = deque()
        self._complete: deque[FileOnItsWay] = deque()
        self._error: BaseException | None = None
        self._others_bytes = 0
        self._touched_at = time.monotonic()
        self._found: dict[str, Blob] = {}

    def run(self, files: Sequence[RemoteFile]) -> dict[str, Blob]:
        """Bring all files into the cache. Blocking.

        Returns:
            Each file of the cache by its relative name.

        Raises:
            VoiceplaneError: CANCELLED: FETCH_CANCELLED. UNAVAILABLE: FETCH_FAILED, FETCH_STALLED or CACHE_BUSY.
                FAILED_PRECONDITION: DIGEST_MISMATCH, ARTIFACT_CHANGED, ARTIFACT_TOO_LARGE, ARTIFACT_MISSING,
                ACCESS_DENIED, PRIVATE_SOURCE, UNSAFE_REDIRECT or TLS_UNTRUSTED.
            OSError: The disk is full, or the cache can't be written.
        """
        waiting = deque(FileOnItsWay(remote=each, lock=self._blobs.lock_of(each.identity)) for each in files)
        active: list[FileOnItsWay] = []
        threads: list[threading.Thread] = []
        total = sum(remote.size_bytes or 0 for remote in files)
        keep = True
        self._meter.begin(total)
        self._reader.received_at = time.monotonic()
        try:
            while waiting or active:
                self._start(waiting, active)
                self._spawn(threads)
                self._collect(active)
                self._watch(waiting, active, total)
        except OSError as error:
            keep = not self._blobs.is_full(error)
            raise
        except VoiceplaneError as error:
            keep = error.reason not in _WORTHLESS
            raise
        finally:
            self._stop(threads, active, keep=keep)
        self._watch(waiting, active, total)
        return self._found

    def _start(self, waiting: deque[FileOnItsWay], active: list[FileOnItsWay]) -> None:
        """Begin with files while there are connections for them; those that another process fetches wait."""
        for _ in range(len(waiting)):
            if len(active) >= self._limits.connections:
                return
            file = waiting.popleft()
            try:
                file.lock.acquire(timeout=0)
            except filelock.Timeout:
                file.is_others = True
                waiting.append(file)
                continue
            try:
                self._begin(file, active)
            except BaseException:
                file.lock.release()
                raise

    def _begin(self, file: FileOnItsWay, active: list[FileOnItsWay]) -> None:
        remote = file.remote
        self._reader.received_at = time.monotonic()
        if found := self._blobs.find(sha256=remote.sha256, identity=remote.identity if remote.is_lasting else ""):
            self._found[remote.name] = found
            file.lock.release()
            return
        file.partial = Partial(
            self._blobs.partial_of(remote.identity),
            size_bytes=remote.size_bytes,
            piece_bytes=self._limits.piece_bytes,
            hashes=remote.hashes,
            resume=remote.is_lasting,
        )
        active.append(file)
        # The first answer says whether the server knows ranges: the other pieces follow it.
        missing = [piece for piece in file.partial.pieces if piece.missing != 0]
        file.rest = missing[1:]
        with self._changed:
            self._queue.append((file, missing[0] if missing else None))
            self._changed.notify_all()

    def _spawn(self, threads: list[threading.Thread]) -> None:
        with self._changed:
            wanted = min(self._limits.connections, len(threads) + len(self._queue))
        while len(threads) < wanted:
            thread = threading.Thread(target=self._work, name="fetch", daemon=True)
            threads.append(thread)
            thread.start()

    def _collect(self, active: list[FileOnItsWay]) -> None:
        """Wait a moment for files that are complete, and give them their places."""
        with self._changed:
            if not self._complete and not self._error:
                self._changed.wait(_TICK_S)
            finished = list(self._complete)
            self._complete.clear()
            error = self._error
        for file in finished:
            self._finish(file)
            active.remove(file)
            file.lock.release()
        if error:
            raise error

    def _watch(self, waiting: deque[FileOnItsWay], active: list[FileOnItsWay], total: int) -> None:
        """Report progress; fail if there is none."""
        done = sum(blob.size_bytes for blob in self._found.values())
        done += sum(file.partial.done_bytes for file in active if file.partial)
        # What another process fetches counts, too: it is how this one gets on.
        others = sum(self._blobs.partial_bytes(file.remote.identity) for file in waiting if file.is_others)
        self._meter.reach(done + others, total_bytes=max(total, done + others) if total else 0)
        now = time.monotonic()
        if now - self._touched_at > _TOUCH_S:
            self._touched_at = now
            for blob in self._found.values():
                touch(blob.path)
        if others != self._others_bytes:
            self._others_bytes, self._reader.received_at = others, now
        if now - self._reader.received_at < self._limits.stall_s or not (waiting or active):
            return
        if not active:
            message = f"another process holds files of {self._uri} in the cache, and does not get on with them"
            raise unavailable("CACHE_BUSY", message, retry_after_ms=5000)
        message = (
            f"the fetch of {self._uri} stalled: no byte came for {self._limits.stall_s:g} s; {done} of {total or '?'} "
            "bytes are here and are kept; check the source and the network, and try again"
        )
        raise unavailable("FETCH_STALLED", message, retry_after_ms=5000)

    def _finish(self, file: FileOnItsWay) -> None:
        """Check a file that is here, and give it its place."""
        partial, remote = file.opened, file.remote
        for found, expected in zip(file.digests, remote.expected, strict=False):
            if expected and found != expected:
                message = (
                    f"{remote.name} of {self._uri} has the digest {found}, and {expected} is expected: it was damaged "
                    "on its way, or has changed; try again, or correct the digest"
                )
                raise failed_precondition("DIGEST_MISMATCH", message, field="source.uri")
        self._found[remote.name] = self._blobs.add(partial, sha256=file.digests[0], identity=remote.identity)

    def _stop(self, threads: list[threading.Thread], active: list[FileOnItsWay], *, keep: bool) -> None:
        with self._changed:
            self._reader.stopped = True
            self._queue.clear()
            self._changed.notify_all()
        if active:
            self._transport.abort()
        deadline = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for file in active:
            file.opened.close(keep=keep)
            file.lock.release(force=True)

    # In worker threads.

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._reader.stopped:
                        return
                    self._changed.wait()
                file, piece = self._queue.popleft()
            try:
                if piece is not None:
                    self._bring(file, piece)
                self._piece_ended(file, piece)
            except BaseException as error:  # the caller's thread raises it
                with self._changed:
                    self._error = self._error or error
                    self._changed.notify_all()
                return

    def _bring(self, file: FileOnItsWay, piece: Piece) -> None:
        """Fetch a piece, and try again where a failure is one of the moment."""
        failures = 0
        while True:
            before = piece.done
            try:
                for block in self._reader.blocks(file, piece):
                    file.opened.write(piece, block)
                    self._admit_rest(file)
            except TransientError as error:
                failures = 1 if piece.done > before else failures + 1
                _log.debug("fetch_retried", source=self._uri, problem=str(error), failures=failures)
                if self._reader.stopped:
                    raise
                if failures >= self._limits.attempts:
                    message = f"cannot fetch {self._uri}: {error}; {failures} tries in a row failed"
                    raise unavailable("FETCH_FAILED", message, retry_after_ms=5000) from error
                self._pause(max(self._limits.pause_s(failures), error.retry_after_s))
            else:
                return

    def _admit_rest(self, file: FileOnItsWay) -> None:
        """Let the other pieces follow the first."""
        if not file.rest:
            return
        with self._changed:
            if file.ranged:
                file.is_shared = True
                self._queue.extend((file, piece) for piece in file.rest)
            file.rest = []
            self._changed.notify_all()

    def _piece_ended(self, file: FileOnItsWay, piece: Piece | None) -> None:
        partial = file.opened
        if piece is not None and any(each.missing for each in partial.pieces):
            partial.advance()
            return
        with self._changed:
            if file.is_complete:
                return
            file.is_complete = True
        file.digests = partial.digests()
        with self._changed:
            self._complete.append(file)
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not self._reader.stopped and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
