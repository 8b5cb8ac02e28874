"""`hf:` sources: files of a repository on the Hugging Face Hub, or on a mirror that `HF_ENDPOINT` names.

`hf://owner/name@revision/path` is a file or a folder; `hf://datasets/owner/name` a dataset's. A revision resolves to
its commit. Files are named by their content: those in LFS by sha256, the others by the id that git gives them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from voiceplane_common.artifacts.files import Listing, RemoteFile, Resolution
from voiceplane_common.artifacts.transport import BoundAuth, Request, TransientError
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voiceplane_common.artifacts.sources.reach import Reach

ENDPOINT = "https://huggingface.co"
_URI = re.compile(
    r"hf://(?:(?P<kind>models|datasets|spaces)/)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(?P<path>.*))?",
    re.ASCII,
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_MAX_PAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    kind: str
    repository: str
    revision: str
    path: str

    @property
    def api(self) -> str:
        return f"api/{self.kind}/{self.repository}"

    def identity(self, commit: str) -> str:
        # A commit's id is that of its content, so a mirror has the same.
        return f"hf:{self.kind}/{self.repository}@{commit}/{self.path}"

    def uri(self, commit: str) -> str:
        kind = "" if self.kind == "models" else f"{self.kind}/"
        return f"hf://{kind}{self.repository}@{commit}{'/' + quote(self.path) if self.path else ''}"

    def file(self, commit: str, path: str) -> str:
        root = self.repository if self.kind == "models" else f"{self.kind}/{self.repository}"
        return f"{root}/resolve/{commit}/{quote(path)}"


def endpoint_of(credentials: Mapping[str, str]) -> str:
    """The Hub, or its mirror that an operator has named."""
    return (credentials.get("HF_ENDPOINT") or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def pinned(uri: str) -> str:
    """The identity of a URI that names a commit; empty otherwise."""
    place = _parse(uri)
    return place.identity(place.revision) if _COMMIT.fullmatch(place.revision) else ""


def resolve(uri: str, reach: Reach) -> Resolution:
    """Ask for the commit of a revision.

    Raises:
        TransientError: The Hub does not answer.
        VoiceplaneError: INVALID_ARGUMENT: the URI has another form. FAILED_PRECONDITION: ARTIFACT_MISSING or
            ACCESS_DENIED.
    """
    place = _parse(uri)
    endpoint = endpoint_of(reach.credentials)
    auth = _auth(endpoint, reach.credentials)
    commit = place.revision
    if not _COMMIT.fullmatch(commit):
        request = Request(url=f"{endpoint}/{place.api}/revision/{quote(commit, safe='')}", auth=auth)
        info, _ = reach.transport.read_json(request)
        commit = str(info.get("sha", "")) if isinstance(info, dict) else ""
        if not _COMMIT.fullmatch(commit):
            raise TransientError(f"{endpoint} does not say which commit {place.revision!r} is")
    return Resolution(
        identity=place.identity(commit),
        name=place.path.rpartition("/")[2] or place.repository.rpartition("/")[2],
        listing=lambda: _list(place, commit, endpoint, auth, reach),
        pinned_uri=place.uri(commit),
    )


def _list(place: _Place, commit: str, endpoint: str, auth: BoundAuth | None, reach: Reach) -> Listing:
    try:
        entries = list(_tree(place, commit, place.path, endpoint, auth, reach))
    except VoiceplaneError as error:
        if error.reason != "ARTIFACT_MISSING" or not place.path:
            raise
        entries = []
    is_folder = bool(entries)
    if not entries and place.path:  # no folder: is it a file?
        above = place.path.rpartition("/")[0]
        entries = [
            each
            for each in _tree(place, commit, above, endpoint, auth, reach, deep=False)
            if each["path"] == place.path
        ]
    if not entries:
        message = f"hf://{place.repository} has no {place.path!r} at {place.revision}"
        raise failed_precondition("ARTIFACT_MISSING", message, field="source.uri")
    prefix = f"{place.path}/" if is_folder and place.path else ""
    files = []
    for entry in entries:
        path = str(entry["path"])
        name = safe_name(path.removeprefix(prefix) if is_folder else path.rpartition("/")[2])
        lfs = entry.get("lfs") or {}
        sha256 = str(lfs.get("oid", "")).removeprefix("sha256:")
        content = f"sha256:{sha256}" if sha256 else f"git:{entry.get('oid', '')}"
        url = f"{endpoint}/{place.file(commit, path)}"
        files.append(
            RemoteFile(
                name=name,
                identity=content if sha256 or entry.get("oid") else f"{place.identity(commit)}#{path}",
                locate=partial(Request, url=url, auth=auth),
                size_bytes=int(lfs.get("size") or entry.get("size") or 0),
                sha256=sha256,
                git_sha1="" if sha256 else str(entry.get("oid", "")),
            )
        )
    return Listing(files=tuple(files), is_folder=is_folder)


def _tree(
    place: _Place, commit: str, path: str, endpoint: str, auth: BoundAuth | None, reach: Reach, *, deep: bool = True
) -> Iterator[dict[str, Any]]:
    """The files below a folder."""
    url = f"{endpoint}/{place.api}/tree/{commit}{'/' + quote(path) if path else ''}"
    url += "?recursive=true&expand=false" if deep else "?expand=false"
    for _ in range(_MAX_PAGES):
        entries, answer = reach.transport.read_json(Request(url=url, auth=auth))
        if not isinstance(entries, list):
            raise TransientError(f"{endpoint} answers with something that is no list of files")
        yield from (entry for entry in entries if isinstance(entry, dict) and entry.get("type") == "file")
        following = _NEXT.search(answer.headers.get("Link", ""))
        if not following:
            return
        url = following[1]


def _auth(endpoint: str, credentials: Mapping[str, str]) -> BoundAuth | None:
    token = credentials.get("HF_TOKEN", "") if credentials else _environment_token()
    return BoundAuth(prefixes=(endpoint,), headers={"Authorization": f"Bearer {token}"}) if token else None


def _environment_token() -> str:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    try:
        return Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""


def _parse(uri: str) -> _Place:
    match = _URI.fullmatch(uri.partition("?")[0])
    path = unquote((match["path"] or "").strip("/")) if match else ""
    if not match or ".." in path.split("/"):
        raise invalid(
            "source.uri", f"{uri!r} must be hf://OWNER/NAME, hf://OWNER/NAME@REVISION or with /PATH behind it"
        )
    return _Place(
        kind=match["kind"] or "models",
        repository=f"{match['owner']}/{match['name']}",
        revision=unquote(match["revision"] or "main"),
        path=path,
    )
