"""Fetches what a URI names."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import grpc

from voiceplane_common.artifacts import packages
from voiceplane_common.artifacts.cache import Cache, Note, check_digest, default_cache_dir
from voiceplane_common.artifacts.copying import copy_all
from voiceplane_common.artifacts.credentials import check_credentials, read_credentials
from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.limits import FetchLimits
from voiceplane_common.artifacts.patterns import Selection
from voiceplane_common.artifacts.progress import Meter
from voiceplane_common.artifacts.remote import Pinned, RemoteSource
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.artifacts.urls import redact
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid, unavailable
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from voiceplane_common.artifacts.progress import FetchProgress

SCHEMES = ("file", "https", "s3", "gs", "az", "hf", "oci", "package")
REMOTE = frozenset({"https", "s3", "gs", "az", "hf", "oci"})
_log = get_logger("artifacts")


def fetch(
    uri: str,
    *,
    sha256: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    progress: Callable[[FetchProgress], None] | None = None,
    cancelled: threading.Event | None = None,
    credentials: str = "",
    credentials_dir: Path | None = None,
    private_sources: Sequence[str] | None = None,
    limits: FetchLimits | None = None,
    admit: Callable[[Mapping[str, int]], None] | None = None,
) -> Path:
    """Bring what a URI names to this machine's disk. Blocking: call it in a thread.

    `file:` and `package:` sources are used where they lie, unless they have to be joined from parts. A remote source is
    resolved to something immutable first, and what the cache has of that is not fetched again. While the source can't
    be reached, what it resolved to last is used, with a warning in the log; `VOICEPLANE_OFFLINE=1` asks no source.

    Args:
        uri: One of `SCHEMES`; see the modules of `sources`, and `packages`.
        sha256: The digest that it must have, see `digests`; empty: any. With patterns, of the files that they select.
        include: Patterns of the files to fetch, see `patterns`; empty: all.
        exclude: Patterns of files to leave out.
        index: The sha256 of each file by its relative name: only these are fetched. A folder of a web server has no
            other list.
        cache_dir: None for VOICEPLANE_CACHE_DIR or the user's cache folder.
        progress: Called a few times a second, in this thread.
        cancelled: Once it is set, the fetch ends within a second. What has come is kept for the next one.
        credentials: The set of credentials that a remote source asks for; empty: what the environment has.
        credentials_dir: Where such sets are; see `credentials`.
        private_sources: Networks besides the public ones that sources may lead to; None for all there are, where who
            names the source is who runs this program.
        limits: What bounds it.
        admit: Called before the first byte of a file is fetched, with the size of each; 0 if it is not known. What it
            raises ends the fetch. Not called for what is on this machine already.

    Returns:
        A file or folder, to be read only.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no such scheme, or one that takes no credentials. FAILED_PRECONDITION:
            PACKAGE_MISSING, ARTIFACT_MISSING, ARTIFACT_INVALID, ARTIFACT_CHANGED, ARTIFACT_TOO_LARGE, UNSAFE_PATH,
            UNSAFE_REDIRECT, DIGEST_MISMATCH, ACCESS_DENIED, CREDENTIALS_MISSING, CREDENTIALS_UNUSABLE,
            CREDENTIALS_ELSEWHERE, TLS_UNTRUSTED, CA_INVALID, PROXY_UNSUPPORTED or PRIVATE_SOURCE. RESOURCE_EXHAUSTED:
            DISK_FULL. UNAVAILABLE: FETCH_FAILED, FETCH_STALLED, SOURCE_OFFLINE, CACHE_BUSY or CACHE_UNUSABLE.
            CANCELLED: FETCH_CANCELLED.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in SCHEMES:
        raise _unknown_scheme(uri)
    held = read_credentials(credentials_dir, credentials)
    check_credentials(scheme, held, name=credentials, uri=uri)
    cache = Cache(cache_dir or default_cache_dir())
    meter = Meter(progress, cancelled=cancelled)
    match scheme:
        case "file":
            return _checked(_local_path(uri), sha256, uri=uri)
        case "package":
            return _fetch_packages(rest, sha256=sha256, uri=uri, cache=cache, meter=meter)
    source = RemoteSource(
        uri,
        selection=Selection(include=tuple(include), exclude=tuple(exclude)),
        index=index or {},
        credentials=held,
        private_sources=private_sources,
        limits=limits or FetchLimits(),
        admit=admit,
    )
    return _fetch_remote(source, sha256=sha256 or source.digest, cache=cache, meter=meter)


def pin(
    uri: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    progress: Callable[[FetchProgress], None] | None = None,
    credentials: str = "",
    credentials_dir: Path | None = None,
    limits: FetchLimits | None = None,
) -> Pinned:
    """What a URI means now: a commit or a digest, and the digests of its files. Blocking.

    Of a remote folder only those files are fetched whose digest the source does not know. The arguments and errors are
    those of `fetch`.
    """
    remote = _remote(
        uri, include=include, exclude=exclude, index=index, credentials=credentials, credentials_dir=credentials_dir,
        limits=limits,
    )  # fmt: skip
    if remote is None:
        return Pinned(uri=uri, sha256=digest(fetch(uri, cache_dir=cache_dir, progress=progress)))
    if is_offline(remote.scheme):
        raise unavailable("SOURCE_OFFLINE", f"{remote.shown} can't be pinned while no source may be asked")
    return remote.pin(Cache(cache_dir or default_cache_dir()), meter=Meter(progress))


def list_files(
    uri: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: Mapping[str, str] | None = None,
    credentials: str = "",
    credentials_dir: Path | None = None,
    limits: FetchLimits | None = None,
) -> tuple[str, ...]:
    """The names of the files that a URI means now, without fetching them. Blocking.

    The arguments and errors are those of `fetch`. One file, such as an archive, has its own name alone.
    """
    remote = _remote(
        uri, include=include, exclude=exclude, index=index, credentials=credentials, credentials_dir=credentials_dir,
        limits=limits,
    )  # fmt: skip
    if remote is None:
        return tuple(files_of(fetch(uri)))
    return remote.list_files(meter=Meter())


def _remote(
    uri: str,
    *,
    include: Sequence[str],
    exclude: Sequence[str],
    index: Mapping[str, str] | None,
    credentials: str,
    credentials_dir: Path | None,
    limits: FetchLimits | None,
) -> RemoteSource | None:
    """A remote source; None for one that lies on this machine."""
    scheme = uri.partition(":")[0]
    if scheme not in SCHEMES:
        raise _unknown_scheme(uri)
    held = read_credentials(credentials_dir, credentials)
    check_credentials(scheme, held, name=credentials, uri=uri)
    if scheme not in REMOTE:
        return None
    selection = Selection(include=tuple(include), exclude=tuple(exclude))
    return RemoteSource(uri, selection=selection, index=index or {}, credentials=held, limits=limits or FetchLimits())


def find(
    uri: str,
    *,
    sha256: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
) -> Path | None:
    """Where what a URI names lies on this machine already, without the network; None if it would have to be fetched.

    This does not count as a use, see `pruning`.

    Of a remote source without a digest that is what it resolved to last, which a fetch uses while the source is away.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no such scheme. FAILED_PRECONDITION: PACKAGE_MISSING, ARTIFACT_MISSING,
            ARTIFACT_INVALID or UNSAFE_PATH: it can't be fetched either.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in SCHEMES:
        raise _unknown_scheme(uri)
    cache = Cache(cache_dir or default_cache_dir())
    match scheme:
        case "file":
            return _checked(_local_path(uri), "", uri=uri)
        case "package":
            roots = packages.locate(rest)
            if not packages.needs_join(roots):
                return _checked(roots[0].path, "", uri=uri)
            key = packages.identity(rest, packages.plan_join(roots))
            return cache.find(sha256, use=False) if sha256 else cache.find_key(key, use=False)
    source = RemoteSource(uri, selection=Selection(include=tuple(include), exclude=tuple(exclude)), index=index or {})
    if sha256 := sha256 or source.digest:
        return cache.find_named(sha256, source.name, use=False)
    return _remembered(source, cache, use=False)


def _unknown_scheme(uri: str) -> VoiceplaneError:
    known = ", ".join(f"{each}:" for each in SCHEMES)
    return invalid("source.uri", f"{redact(uri)!r} begins with none of {known}")


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or not path.is_absolute() or ".." in path.parts:
        message = f"{uri!r} must be file:/// and an absolute path without '..'"
        raise invalid("source.uri", message)
    if path.is_symlink():
        raise failed_precondition(
            "UNSAFE_PATH", f"{path} is a symbolic link: name what it points to", field="source.uri"
        )
    return path


def _checked(path: Path, sha256: str, *, uri: str) -> Path:
    files_of(path)  # refuses what is missing, or no plain file
    if sha256:
        check_digest(digest(path), sha256, what=uri)
    return path


def _fetch_packages(spec: str, *, sha256: str, uri: str, cache: Cache, meter: Meter) -> Path:
    roots = packages.locate(spec)
    if not packages.needs_join(roots):
        return _checked(roots[0].path, sha256, uri=uri)
    plan = packages.plan_join(roots)
    key = packages.identity(spec, plan)
    if found := cache.find(sha256) if sha256 else cache.find_key(key):
        return found
    total = sum(part.stat().st_size for parts in plan.values() for part in parts)

    def write(target: Path) -> None:
        meter.begin(total)
        copy_all(_opened(plan), target, copied=meter.add)

    return cache.add(key=key, remember=True, name="data", sha256=sha256, size_bytes=total, write=write, meter=meter)


def _opened(plan: dict[str, list[Path]]) -> Iterator[tuple[str, Iterator[BinaryIO]]]:
    return ((name, (part.open("rb") for part in parts)) for name, parts in plan.items())


def _fetch_remote(source: RemoteSource, *, sha256: str, cache: Cache, meter: Meter) -> Path:
    cache.recover()
    if sha256 and (found := cache.find_named(sha256, source.name)):
        return found
    if not sha256 and (found := _pinned(source, cache)):
        return found
    try:
        if is_offline(source.scheme):
            raise unavailable("SOURCE_OFFLINE", f"{source.shown} is not in the cache, and no source may be asked")
        return source.fetch(cache, sha256=sha256, meter=meter)
    except VoiceplaneError as error:
        # What resolved may have changed meanwhile: only a source that can't be asked is one that is away.
        found = None if sha256 or source.is_resolved else _remembered(source, cache)
        if found is None or error.code is not grpc.StatusCode.UNAVAILABLE:
            raise
        _log.warning("source_unreachable_using_cached", source=source.shown, reason=error.reason, message=error.message)
        return found


def _pinned(source: RemoteSource, cache: Cache, *, use: bool = True) -> Path | None:
    """What the cache has of a source that names something immutable itself."""
    return cache.find_key(source.key_of(source.pinned), use=use) if source.pinned else None


def _remembered(source: RemoteSource, cache: Cache, *, use: bool = True) -> Path | None:
    """What a source resolved to last."""
    if found := _pinned(source, cache, use=use):
        return found
    note: Note | None = cache.read_note(source.key)
    return cache.find_named(note.digest, source.name, use=use) if note else None


@functools.cache
def _warn_offline() -> None:
    _log.info("offline", message="VOICEPLANE_OFFLINE or HF_HUB_OFFLINE is set: sources are not asked")


def is_offline(scheme: str) -> bool:
    """Whether the environment forbids to ask sources."""
    names = ("VOICEPLANE_OFFLINE", "HF_HUB_OFFLINE") if scheme == "hf" else ("VOICEPLANE_OFFLINE",)
    offline = any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)
    if offline:
        _warn_offline()
    return offline
