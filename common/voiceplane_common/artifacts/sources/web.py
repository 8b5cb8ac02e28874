"""`https:` sources: one file, or a folder whose files an index lists with their digests.

A file is known by its ETag, or by its time of change and its size. A server that tells neither can't be asked whether
the file has changed, so it is fetched each time.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from voiceplane_common.artifacts.digests import tree_digest
from voiceplane_common.artifacts.files import Listing, RemoteFile, Resolution
from voiceplane_common.artifacts.transport import BoundAuth, Request, check_status
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.artifacts.urls import join_path, origin_of, redact, without_userinfo
from voiceplane_common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.artifacts.sources.reach import Reach

# What a server answers that does not know HEAD, or of a link that is signed for GET alone.
_NO_HEAD = frozenset({400, 401, 403, 405, 501})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    size_bytes: int | None
    tag: str
    changed: str

    @property
    def validator(self) -> str:
        """The ETag, if it is a strong one."""
        return "" if self.tag.startswith("W/") else self.tag

    @property
    def identity(self) -> str:
        if self.tag:
            return f"{self.tag}#{self.size_bytes}"
        return f"{self.changed}#{self.size_bytes}" if self.changed and self.size_bytes is not None else ""


def resolve(uri: str, reach: Reach) -> Resolution:
    """Ask for a file's ETag; of a folder with an index, nothing is to be asked.

    Raises:
        TransientError: The server does not answer.
        VoiceplaneError: INVALID_ARGUMENT: the URI has another form. FAILED_PRECONDITION: ARTIFACT_MISSING or
            ACCESS_DENIED.
    """
    url, user, password = without_userinfo(uri)
    if origin_of(url)[0] != "https":
        raise invalid("source.uri", f"{redact(uri)!r} must begin with https://")
    request = Request(url=url, auth=bound_auth(url, reach.credentials, user=user, password=password))
    if reach.index:
        return _folder(request, reach)
    head = _head(request, reach)
    file = RemoteFile(
        name=safe_name(name_of(url)),
        identity=f"https:{url}#{head.identity or 'unknown'}",
        locate=lambda: request,
        is_lasting=bool(head.identity),
        size_bytes=head.size_bytes,
        validator=head.validator,
    )
    return Resolution(
        identity=file.identity if head.identity else "",
        name=file.name,
        listing=lambda: Listing(files=(file,), is_folder=False),
    )


def index_identity(index: Mapping[str, str]) -> str:
    """The identity of a folder by its index."""
    return f"index:{tree_digest(index)}"


def name_of(url: str) -> str:
    """The last component of a URL's path."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "data"


def bound_auth(url: str, credentials: Mapping[str, str], *, user: str = "", password: str = "") -> BoundAuth | None:
    """The headers that open a URL, for its host alone, and there for the prefixes that the credentials name."""
    scheme, host, port = origin_of(url)
    name = f"[{host}]" if ":" in host else host
    prefixes = tuple(credentials.get("uri_prefix", "").split()) or (f"{scheme}://{name}:{port}/",)
    if token := credentials.get("token"):
        return BoundAuth(prefixes=prefixes, headers={"Authorization": f"Bearer {token}"})
    user, password = credentials.get("username", user), credentials.get("password", password)
    if not user and not password:
        return None
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return BoundAuth(prefixes=prefixes, headers={"Authorization": f"Basic {pair}"})


def _folder(request: Request, reach: Reach) -> Resolution:
    def listing() -> Listing:
        files = []
        for name, sha256 in reach.index.items():
            if not reach.selection.takes(name):
                continue
            base = request.url.partition("?")[0]
            each = Request(url=join_path(base, safe_name(name)), auth=request.auth)
            files.append(
                RemoteFile(
                    name=name,
                    identity=f"sha256:{sha256}",
                    locate=partial(_same, each),
                    size_bytes=_head(each, reach).size_bytes,
                    sha256=sha256,
                )
            )
        return Listing(files=tuple(files), is_folder=True)

    return Resolution(identity=index_identity(reach.index), name=name_of(request.url.rstrip("/")), listing=listing)


def _same(request: Request) -> Request:
    return request


def _head(request: Request, reach: Reach) -> _Head:
    answer = reach.transport.open(request, method="HEAD")
    answer.close()
    size = answer.length
    if answer.status in _NO_HEAD:
        answer = reach.transport.open(request, headers={"Range": "bytes=0-0"})
        whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
        size = answer.length if answer.status == 200 else int(whole) if whole.isdigit() else None
    try:
        check_status(answer)
    finally:
        answer.close()
    changed = answer.headers.get("Last-Modified", "")
    return _Head(size_bytes=size, tag=answer.headers.get("ETag", ""), changed=changed)
