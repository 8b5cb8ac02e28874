"""Remote sources: resolved to something immutable, then brought into the cache."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from voiceplane_common.artifacts.blobs import hashed
from voiceplane_common.artifacts.cache import Cache, Note, check_digest
from voiceplane_common.artifacts.connections import Connector
from voiceplane_common.artifacts.digests import tree_digest
from voiceplane_common.artifacts.download import Download
from voiceplane_common.artifacts.limits import FetchLimits
from voiceplane_common.artifacts.patterns import EVERYTHING, Selection
from voiceplane_common.artifacts.sources import hub, oci, web
from voiceplane_common.artifacts.sources.reach import Reach
from voiceplane_common.artifacts.ssrf_guard import Guard, networks
from voiceplane_common.artifacts.transport import TransientError, Transport
from voiceplane_common.artifacts.urls import origin_of, redact
from voiceplane_common.errors import VoiceplaneError, failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from voiceplane_common.artifacts.files import Listing, RemoteFile, Resolution
    from voiceplane_common.artifacts.progress import Meter

T = TypeVar("T")
OBJECTS = frozenset({"s3", "gs", "az"})
_TICK_S = 0.1
# A stalled connection is given up well before the fetch is, so that another one can go on.
_READ_SHARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What a source means, so that it means the same tomorrow.

    Attributes:
        uri: Names a commit or a digest where the scheme has that; otherwise as it was.
        sha256: The digest of what the selected files make, see `digests`.
        files: The sha256 of each by its relative name; empty for one file, an archive or layers.
    """

    uri: str
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict)


class RemoteSource:
    """A remote file or folder.

    Attributes:
        uri: Where it is.
        scheme: Of the URI.
        shown: The URI for messages and logs.
        name: The last path component of what is fetched.
        is_resolved: Whether the source has said what it is, in this fetch.
    """

    def __init__(
        self,
        uri: str,
        *,
        selection: Selection = EVERYTHING,
        index: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        private_sources: Sequence[str] | None = None,
        limits: FetchLimits | None = None,
        admit: Callable[[Mapping[str, int]], None] | None = None,
    ) -> None:
        """Describe it; nothing is asked.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: the URI or a network has no such form.
        """
        self.uri = uri
        self.scheme = uri.partition(":")[0]
        self.shown = redact(uri)
        self._selection = selection
        self._index = dict(index or {})
        self._credentials = dict(credentials or {})
        self._private = None if private_sources is None else networks(private_sources)
        self._limits = limits or FetchLimits()
        self._admit = admit
        self.is_resolved = False
        self.name = _name_of(uri)

    @functools.cached_property
    def pinned(self) -> str:
        """What the URI itself names forever; empty if it names something that may change."""
        match self.scheme:
            case "hf":
                return hub.pinned(self.uri)
            case "oci":
                return oci.pinned(self.uri)
        return ""

    @functools.cached_property
    def digest(self) -> str:
        """The digest that the selected files must have by the index; empty without one."""
        wanted = {name: sha256 for name, sha256 in self._index.items() if self._selection.takes(name)}
        return tree_digest(wanted) if wanted else ""

    @property
    def _selected_key(self) -> str:
        """What tells the selected files from others of the source."""
        return f"{self._selection.key}#{self.digest}" if self._index else self._selection.key

    @property
    def key(self) -> str:
        """What tells this source from others, whatever it resolves to."""
        return f"{self.uri}|{self._endpoint}|{self._selected_key}"

    def key_of(self, identity: str) -> str:
        """What tells the selected files of something immutable from others."""
        return f"{identity}|{self._selected_key}"

    def fetch(self, cache: Cache, *, sha256: str, meter: Meter) -> Path:
        """Resolve it, and bring what the cache does not have yet. Blocking.

        Raises:
            VoiceplaneError: See `fetching.fetch`.
        """
        return self._reaching(cache, meter, lambda reaching: self._fetch(reaching, cache, sha256=sha256, meter=meter))

    def pin(self, cache: Cache, *, meter: Meter) -> Pinned:
        """Resolve it, and find the digests of the selected files; only those that no one knows are fetched. Blocking.

        Raises:
            VoiceplaneError: See `fetching.fetch`.
        """
        return self._reaching(cache, meter, lambda reaching: self._pin(reaching, cache, meter))

    def list_files(self, *, meter: Meter) -> tuple[str, ...]:
        """The names of the selected files; of one file or of layers, its own alone. Blocking.

        Raises:
            VoiceplaneError: See `fetching.fetch`.
        """

        def names(reaching: Reaching) -> tuple[str, ...]:
            resolution = reaching.ask(self._resolve)
            return tuple(each.name for each in self._selected(reaching.ask(lambda _: resolution.listing())))

        return self._reaching(None, meter, names)

    def _reaching(self, cache: Cache | None, meter: Meter, work: Callable[[Reaching], T]) -> T:
        guard = Guard(private=self._private, endpoints=self._endpoints())
        read_timeout_s = max(1.0, self._limits.stall_s / _READ_SHARE)
        connector = Connector(guard=guard, read_timeout_s=read_timeout_s)
        try:
            with closing(Transport(connector, max_idle=self._limits.connections)) as transport:
                return work(Reaching(self, connector, transport, meter))
        except OSError as error:
            if cache is None:
                raise
            raise cache.explain(error, 0) from error

    def _pin(self, reaching: Reaching, cache: Cache, meter: Meter) -> Pinned:
        resolution = reaching.ask(self._resolve)
        listing = reaching.ask(lambda _: resolution.listing())
        uri = resolution.pinned_uri or self.uri
        files = self._selected(listing)
        if listing.assemble is not None:  # what is in layers shows when they are unpacked
            path = self._fetch(reaching, cache, sha256="", meter=meter)
            return Pinned(uri=uri, sha256=path.parent.name)
        digests = {each.name: each.sha256 for each in files if each.sha256}
        unknown = [each for each in files if not each.sha256]
        cache.blobs.prepare()
        self._check_room(cache, unknown)
        if unknown:
            digests |= {name: blob.sha256 for name, blob in self._download(reaching, cache, meter).run(unknown).items()}
        if not listing.is_folder:
            return Pinned(uri=uri, sha256=next(iter(digests.values())))
        return Pinned(uri=uri, sha256=tree_digest(digests), files=dict(sorted(digests.items())))

    def _download(self, reaching: Reaching, cache: Cache, meter: Meter) -> Download:
        return Download(blobs=cache.blobs, transport=reaching.transport, limits=self._limits, meter=meter, uri=self.uri)

    def _fetch(self, reaching: Reaching, cache: Cache, *, sha256: str, meter: Meter) -> Path:
        resolution = reaching.ask(self._resolve)
        self.is_resolved = True
        key = self.key_of(resolution.identity) if resolution.identity else ""
        if key and not sha256 and (found := cache.find_key(key)):
            self._remember(cache, resolution, found.parent.name)
            return found
        listing = reaching.ask(lambda _: resolution.listing())
        files = self._selected(listing)
        if self._admit is not None:
            self._admit({each.name: each.size_bytes or 0 for each in files})
        cache.blobs.prepare()
        self._check_room(cache, files)
        blobs = self._download(reaching, cache, meter).run(files)
        if listing.assemble is None:
            if sha256:
                check_digest(cache.digest_of(blobs, is_folder=listing.is_folder), sha256, what=self.shown)
            path, found_digest = cache.link(blobs, name=resolution.name, is_folder=listing.is_folder)
        else:
            assemble = listing.assemble
            path = cache.add(
                key=key or self.key,
                remember=False,
                name=resolution.name,
                sha256=sha256,
                size_bytes=sum(blob.size_bytes for blob in blobs.values()),
                write=lambda target: assemble({name: blob.path for name, blob in blobs.items()}, target),
                meter=meter,
            )
            found_digest = path.parent.name
        if key:
            cache.blobs.write_index(key, found_digest)
            if self.pinned:  # an index of manifests has another digest than the one that fits here
                cache.blobs.write_index(self.key_of(self.pinned), found_digest)
        self._remember(cache, resolution, found_digest)
        return path

    def _resolve(self, reach: Reach) -> Resolution:
        match self.scheme:
            case "hf":
                return hub.resolve(self.uri, reach)
            case "oci":
                return oci.resolve(self.uri, reach)
            case "https":
                return web.resolve(self.uri, reach)
        from voiceplane_common.artifacts.sources import objects  # noqa: PLC0415  # obstore is large, and rarely needed

        return objects.resolve(self.uri, reach)

    def _selected(self, listing: Listing) -> tuple[RemoteFile, ...]:
        files = listing.files
        if self._index and not listing.is_folder:
            raise failed_precondition(
                "ARTIFACT_INVALID",
                f"{self.shown} is one file: state its digest in sha256, and no index",
                field="source.index",
            )
        if listing.is_folder and listing.assemble is None:
            files = tuple(each for each in files if self._selection.takes(each.name))
            files = self._indexed(files) if self._index else files
        if not files:
            message = f"{self.shown} has none of the files that are wanted: correct include and exclude"
            raise failed_precondition("ARTIFACT_MISSING", message, field="source.include")
        size = sum(each.size_bytes or 0 for each in files)
        if len(files) > self._limits.max_files or size > self._limits.max_bytes:
            message = (
                f"{self.shown} has {len(files)} files of {size} bytes, and {self._limits.max_files} files of "
                f"{self._limits.max_bytes} bytes are allowed: select fewer with include and exclude"
            )
            raise failed_precondition("ARTIFACT_TOO_LARGE", message, field="source.uri")
        return files

    def _indexed(self, files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
        """The files of the index, each with the digest that it must have."""
        there = {each.name: each for each in files}
        wanted = {name: sha256 for name, sha256 in self._index.items() if self._selection.takes(name)}
        if missing := sorted(wanted.keys() - there.keys()):
            message = f"{self.shown} has no {', '.join(missing[:5])}, which the index names: correct the source"
            raise failed_precondition("ARTIFACT_MISSING", message, field="source.index")
        for name, sha256 in wanted.items():
            check_digest(there[name].sha256 or sha256, sha256, what=f"{name} of {self.shown}")
        return tuple(replace(there[name], sha256=sha256) for name, sha256 in wanted.items())

    @staticmethod
    def _check_room(cache: Cache, files: Sequence[RemoteFile]) -> None:
        missing = sum(
            max(0, (each.size_bytes or 0) - cache.blobs.partial_bytes(each.identity))
            for each in files
            if not cache.blobs.find(sha256=each.sha256, identity=each.identity)
        )
        if missing > cache.free_bytes():
            raise cache.full(missing)

    def _remember(self, cache: Cache, resolution: Resolution, found: str) -> None:
        cache.write_note(self.key, Note(source=self.shown, identity=redact(resolution.identity), digest=found))

    @property
    def _endpoint(self) -> str:
        """The endpoint that an operator has named."""
        if self.scheme == "hf":
            return hub.endpoint_of(self._credentials)
        if self.scheme in OBJECTS:
            from voiceplane_common.artifacts.sources import objects  # noqa: PLC0415  # as above

            return objects.endpoint_of(self.scheme, self._credentials)
        return ""

    def _endpoints(self) -> frozenset[tuple[str, int]]:
        return frozenset({origin_of(self._endpoint)[1:]}) if self._endpoint else frozenset()

    def reach(self, connector: Connector, transport: Transport) -> Reach:
        """What the scheme needs to ask the source."""
        return Reach(
            transport=transport,
            selection=self._selection,
            is_private=connector.is_private,
            credentials=self._credentials,
            index=self._index,
        )

    @property
    def limits(self) -> FetchLimits:
        """What bounds the fetch."""
        return self._limits


class Reaching:
    """Asks a source, with tries and a way out.

    Attributes:
        transport: Sends the requests.
    """

    def __init__(self, source: RemoteSource, connector: Connector, transport: Transport, meter: Meter) -> None:
        self.transport = transport
        self._source = source
        self._connector = connector
        self._meter = meter
        self._reach = source.reach(connector, transport)

    def ask(self, work: Callable[[Reach], T]) -> T:
        """Do work that asks the source, and again if it can't be reached at the moment.

        Raises:
            VoiceplaneError: UNAVAILABLE, FETCH_FAILED. CANCELLED, FETCH_CANCELLED. Or what the work raises.
        """
        limits = self._source.limits
        failures = 0
        while True:
            try:
                return self._in_thread(work)
            except TransientError as error:
                failures += 1
                if failures >= min(3, limits.attempts):
                    message = f"cannot reach {self._source.shown}: {error}"
                    raise unavailable("FETCH_FAILED", message, retry_after_ms=5000) from error
                deadline = time.monotonic() + max(limits.pause_s(failures), error.retry_after_s)
                while time.monotonic() < deadline:
                    self._meter.check()
                    time.sleep(min(_TICK_S, limits.pause_s(failures)))

    def _in_thread(self, work: Callable[[Reach], T]) -> T:
        """In a thread of its own, so that this one can leave when the fetch is cancelled."""
        outcome: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work(self._reach))
            except BaseException as error:  # raised in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=run, name="fetch-resolve", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_TICK_S)
                self._meter.check()
        except VoiceplaneError:
            self._connector.abort()
            raise
        if errors:
            raise errors[0]
        return outcome[0]


def _name_of(uri: str) -> str:
    if uri.startswith("https:"):
        return web.name_of(uri.partition("?")[0].rstrip("/"))
    last = urlsplit(uri).path.rstrip("/").rpartition("/")[2]
    return last.partition("@")[0].partition(":")[0] or urlsplit(uri).netloc.partition("@")[0] or hashed(uri)[:8]
