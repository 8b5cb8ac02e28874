"""Voice packs in the cache: fetched ahead, checked against their digests, and removed. It needs voiceplane-worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.artifacts import digest, find
from voiceplane_common.artifacts.cache import Cache, default_cache_dir
from voiceplane_common.artifacts.holds import pin, unpin
from voiceplane_common.artifacts.pruning import Pruned, prune
from voiceplane_common.artifacts.verification import Verified, remove, verify
from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_worker.adapters import plugins
from voiceplane_worker.packs.catalog import CatalogPack, shipped_packs
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.packs.selection import select
from voiceplane_worker.residency.model_spec import ModelSpec

from voiceplane_cli.output import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from voiceplane_common.artifacts import FetchProgress
    from voiceplane_worker.packs.pack import VoicePack


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """A pack that was fetched, or was here already.

    Attributes:
        model_id: Its model.
        state: "here" or "failed".
        sha256: The digest of the pack.
        size_bytes: Of its files.
        message: Why it has failed, and what to do.
    """

    model_id: str
    state: str
    sha256: str = ""
    size_bytes: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackVerification:
    """What verifying a pack has shown.

    Attributes:
        model_id: Its model.
        state: "ok", "no digest" (the pack states none: it is as it was fetched), "not fetched" or "failed".
        sha256: The digest of what was found; empty if nothing was.
        message: Why it has failed and what to do, or the key to write into metadata.yaml.
        corrupt: Files whose content has changed.
        missing: Files that are not there.
    """

    model_id: str
    state: str
    sha256: str = ""
    message: str = ""
    corrupt: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the pack can be loaded as it is."""
        return self.state in {"ok", "no digest"}


def prefetch_pack(
    pack: CatalogPack,
    *,
    credentials_dir: Path | None,
    keep: bool | None = None,
    progress: Callable[[FetchProgress], None] | None = None,
) -> Prefetched:
    """Fetch a pack into the cache without loading it. Blocking.

    Args:
        pack: What to fetch.
        credentials_dir: Where sets of credentials are.
        keep: Whether it stays whatever is pruned; None leaves that as it is.
        progress: Called a few times a second.
    """
    model_id = pack.metadata.model_id
    try:
        opened = _open(pack, credentials_dir=credentials_dir, progress=progress)
        cache = Cache(default_cache_dir())
        for held in opened.holds if keep is not None else ():
            (pin if keep else unpin)(cache, held.digest)
    except VoiceplaneError as error:
        return Prefetched(model_id=model_id, state="failed", message=one_line(error.message))
    return Prefetched(model_id=model_id, state="here", sha256=opened.sha256, size_bytes=opened.size_bytes)


def verify_packs(packs: Iterable[CatalogPack], *, remove_damaged: bool) -> Iterator[PackVerification]:
    """Hash what is on this machine and compare; nothing is fetched. Blocking.

    Args:
        packs: Those to check.
        remove_damaged: Remove what is damaged from the cache, so that the next fetch brings it again.
    """
    for pack in packs:
        try:
            yield _verify(pack, remove_damaged=remove_damaged)
        except VoiceplaneError as error:
            yield PackVerification(model_id=pack.metadata.model_id, state="failed", message=one_line(error.message))


def prune_cache(*, max_bytes: int | None, unused_s: float | None, dry_run: bool) -> tuple[Pruned, dict[str, str]]:
    """Remove artifacts that were not used for the longest time. Blocking.

    Returns:
        What was done, and the source of each artifact by its digest, where it is known.

    Raises:
        VoiceplaneError: UNAVAILABLE: CACHE_BUSY or CACHE_UNUSABLE.
    """
    cache = Cache(default_cache_dir())
    sources = cache.sources()
    try:
        done = prune(cache, max_bytes=max_bytes, unused_s=unused_s, dry_run=dry_run)
    except OSError as error:
        raise cache.explain(error, 0) from error
    if done is None:
        raise unavailable("CACHE_BUSY", f"another process prunes {cache.folder} at the moment: try again")
    return done, sources


def _verify(pack: CatalogPack, *, remove_damaged: bool) -> PackVerification:
    model_id, source = pack.metadata.model_id, pack.metadata.source
    if source is None:
        sha256 = digest(pack.folder)
        _open(pack)
        return PackVerification(model_id=model_id, state="ok", sha256=sha256)
    source = select(source, opens=plugins.opens(pack.metadata.family), metadata=pack.metadata)
    path = find(source.uri, sha256=source.sha256, include=source.include, exclude=source.exclude, index=source.digests)
    if path is None:
        message = f"fetch it: voiceplane packs prefetch {_named(pack)}"
        return PackVerification(model_id=model_id, state="not fetched", message=message)
    cache = Cache(default_cache_dir())
    found = verify(cache, path, index=source.digests)
    if not _is_whole(found):
        return _damaged(pack, path, found, removes=remove_damaged)
    if source.sha256 not in {"", found.sha256}:
        message = f"{path} has the sha256 {found.sha256}, and {source.sha256} is stated: correct the source or sha256"
        return PackVerification(model_id=model_id, state="failed", sha256=found.sha256, message=message)
    stated = {"source": source.model_copy(update={"sha256": found.sha256, "credentials": ""})}
    opened = _open(CatalogPack(folder=pack.folder, metadata=pack.metadata.model_copy(update=stated)))
    if opened.path != path and not _is_whole(unpacked := verify(cache, opened.path)):
        return _damaged(pack, opened.path, unpacked, removes=remove_damaged)
    is_stated = bool(source.sha256 or source.index)
    message = f"write source.sha256: {found.sha256}, or run: voiceplane packs pin {_named(pack)}"
    return PackVerification(
        model_id=model_id,
        state="ok" if is_stated else "no digest",
        sha256=found.sha256,
        message="" if is_stated else message,
    )


def _named(pack: CatalogPack) -> str:
    """How a command names a pack: by its id if it comes with Voiceplane, else by its folder."""
    return pack.metadata.model_id if pack.folder.is_relative_to(shipped_packs()) else str(pack.folder)


def _is_whole(found: Verified) -> bool:
    return found.is_intact and not found.corrupt and not found.missing


def _damaged(pack: CatalogPack, path: Path, found: Verified, *, removes: bool) -> PackVerification:
    names = {"is corrupt": found.corrupt, "is missing": found.missing}
    told = [f"{name} {what}" for what, files in names.items() for name in files] or ["its content has changed"]
    remedy = f"voiceplane packs prefetch {_named(pack)}"
    if removes:
        remove(Cache(default_cache_dir()), path, found)
        remedy = f"it was removed; fetch it again: {remedy}"
    else:
        remedy = f"run voiceplane packs verify {_named(pack)} --remove, then {remedy}"
    return PackVerification(
        model_id=pack.metadata.model_id,
        state="failed",
        sha256=found.sha256,
        message=f"{path}: {', '.join(told)}; {remedy}",
        corrupt=found.corrupt,
        missing=found.missing,
    )


def _open(
    pack: CatalogPack,
    *,
    credentials_dir: Path | None = None,
    progress: Callable[[FetchProgress], None] | None = None,
) -> VoicePack:
    """Check a pack as a worker would that accepts its licence; its files are fetched if they are not here."""
    return open_pack(
        ModelSpec(model_id=pack.metadata.model_id),
        pack,
        credentials_dir=credentials_dir,
        accept_licences=(pack.metadata.licence,),
        progress=progress,
        opens=plugins.opens,
    )
