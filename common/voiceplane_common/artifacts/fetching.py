"""Fetches what a URI names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from voiceplane_common.artifacts import packages, remote
from voiceplane_common.artifacts.cache import Cache, check_digest, default_cache_dir
from voiceplane_common.artifacts.copying import Progress, copy_all
from voiceplane_common.artifacts.credentials import read_credentials, storage_options
from voiceplane_common.artifacts.digests import digest
from voiceplane_common.artifacts.ssrf_guard import client_options, networks
from voiceplane_common.artifacts.trees import files_of
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SCHEMES = ("file", "https", "s3", "hf", "oci", "package")


def fetch(
    uri: str,
    *,
    sha256: str = "",
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    credentials: str = "",
    credentials_dir: Path | None = None,
    private_sources: Sequence[str] | None = None,
) -> Path:
    """Bring what a URI names to this machine's disk. Blocking: call it in a thread.

    `file:` and `package:` sources are used where they lie, unless they have to be joined from parts. A remote source
    with a digest is fetched once; without one, a change can't be detected, so it is fetched each time.

    Args:
        uri: file:, https: (one file), s3:, hf: (a file or a folder) or package:; see `packages` for the last.
        sha256: The digest that it must have, see `digests`; empty: any.
        cache_dir: None for VOICEPLANE_CACHE_DIR or the user's cache folder.
        progress: Called with the bytes done and the bytes in all, 0 if unknown.
        credentials: The set of credentials that a remote source asks for; empty: what the environment has.
        credentials_dir: Where such sets are; see `credentials`.
        private_sources: Networks besides the public ones that https: sources may lead to; None for all there are, where
            who names the source is who runs this program.

    Returns:
        A file or folder, to be read only.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no such scheme, or one that takes no credentials. FAILED_PRECONDITION:
            EXTRA_MISSING, PACKAGE_MISSING, ARTIFACT_MISSING, ARTIFACT_INVALID, UNSAFE_PATH, DIGEST_MISMATCH,
            CREDENTIALS_MISSING, CREDENTIALS_UNUSABLE, PRIVATE_SOURCE or SCHEME_UNSUPPORTED.
            RESOURCE_EXHAUSTED: DISK_FULL. UNAVAILABLE: FETCH_FAILED, CACHE_BUSY or CACHE_UNUSABLE.
    """
    scheme, _, rest = uri.partition(":")
    cache = Cache(cache_dir or default_cache_dir())
    reporting = Progress(progress)
    options = storage_options(scheme, read_credentials(credentials_dir, credentials), name=credentials)
    if scheme == "https" and private_sources is not None:
        options |= client_options(networks(private_sources))
    match scheme:
        case "file":
            return _checked(_local_path(uri), sha256, uri=uri)
        case "package":
            return _fetch_packages(rest, sha256=sha256, uri=uri, cache=cache, progress=reporting)
        case "https" | "s3" | "hf":
            return _fetch_remote(uri, options, sha256=sha256, cache=cache, progress=reporting)
        case "oci":
            message = "oci: artifacts can't be fetched yet: mount the image's files and name them with file:"
            raise failed_precondition("SCHEME_UNSUPPORTED", message, field="source.uri")
    raise _unknown_scheme(uri)


def find(uri: str, *, sha256: str = "", cache_dir: Path | None = None) -> Path | None:
    """Where what a URI names lies on this machine already; None if it would have to be fetched.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no such scheme. FAILED_PRECONDITION: PACKAGE_MISSING, ARTIFACT_MISSING,
            ARTIFACT_INVALID or UNSAFE_PATH: it can't be fetched either.
    """
    scheme, _, rest = uri.partition(":")
    cache = Cache(cache_dir or default_cache_dir())
    match scheme:
        case "file":
            return _checked(_local_path(uri), "", uri=uri)
        case "package":
            roots = packages.locate(rest)
            if not packages.needs_join(roots):
                return _checked(roots[0].path, "", uri=uri)
            return cache.find(sha256) if sha256 else cache.find_key(packages.identity(rest, packages.plan_join(roots)))
    if scheme not in SCHEMES:
        raise _unknown_scheme(uri)
    return cache.find(sha256)


def _unknown_scheme(uri: str) -> VoiceplaneError:
    known = ", ".join(f"{each}:" for each in SCHEMES)
    return invalid("source.uri", f"{uri!r} begins with none of {known}")


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


def _fetch_packages(spec: str, *, sha256: str, uri: str, cache: Cache, progress: Progress) -> Path:
    roots = packages.locate(spec)
    if not packages.needs_join(roots):
        return _checked(roots[0].path, sha256, uri=uri)
    plan = packages.plan_join(roots)
    key = packages.identity(spec, plan)
    if found := cache.find(sha256) if sha256 else cache.find_key(key):
        return found
    total = sum(part.stat().st_size for parts in plan.values() for part in parts)
    progress.begin(total)
    return cache.add(
        key=key,
        remember=True,
        name="data",
        sha256=sha256,
        size_bytes=total,
        write=lambda target: copy_all(_opened(plan), target, progress=progress),
    )


def _opened(plan: dict[str, list[Path]]) -> Iterator[tuple[str, Iterator[BinaryIO]]]:
    return ((name, (part.open("rb") for part in parts)) for name, parts in plan.items())


def _fetch_remote(uri: str, options: Mapping[str, Any], *, sha256: str, cache: Cache, progress: Progress) -> Path:
    if found := cache.find(sha256):
        return found
    source = remote.Source(uri, options)
    progress.begin(source.size_bytes)
    return cache.add(
        key=uri,
        remember=False,
        name=source.name,
        sha256=sha256,
        size_bytes=source.size_bytes,
        write=lambda target: source.write(target, progress=progress),
    )
