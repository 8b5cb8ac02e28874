"""`oci:` sources: artifacts of a container registry, by the distribution API, and KServe's modelcar images.

`oci://registry/repository:tag` or `…@sha256:…`. A tag resolves to its manifest's digest. Of an artifact, layers with a
title are files, and layers that are tar archives are unpacked; of an image, the files below `/models` are taken.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from voiceplane_common.artifacts.files import Listing, RemoteFile, Resolution
from voiceplane_common.artifacts.sources.layers import Layer, unpack_layers
from voiceplane_common.artifacts.transport import BoundAuth, Request, TransientError, check_status
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.artifacts.urls import origin_of, redact
from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.artifacts.sources.reach import Reach
    from voiceplane_common.artifacts.transport import Answer

_URI = re.compile(
    r"oci://(?P<registry>[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_IMAGE_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_TITLES = ("org.opencontainers.image.title", "org.cncf.model.filepath")
_UNPACK = "io.deis.oras.content.unpack"
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MAX_MANIFEST_BYTES = 4 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    registry: str
    repository: str
    reference: str

    @property
    def host(self) -> str:
        return _HUB.get(self.registry, self.registry)


def pinned(uri: str) -> str:
    """The identity of a URI that names a digest; empty otherwise."""
    reference = _parse(uri).reference
    return f"oci:{reference}" if reference.startswith("sha256:") else ""


def resolve(uri: str, reach: Reach) -> Resolution:
    """Ask for the manifest.

    Raises:
        TransientError: The registry does not answer.
        VoiceplaneError: INVALID_ARGUMENT: the URI has another form. FAILED_PRECONDITION: ARTIFACT_MISSING,
            ACCESS_DENIED, ARTIFACT_INVALID or DIGEST_MISMATCH.
    """
    place = _parse(uri)
    session = _Session(place, reach)
    manifest, digest = session.manifest(place.reference)
    pinned_uri = f"{uri.partition('@')[0]}@{digest}"
    if "manifests" in manifest:
        manifest, digest = session.manifest(_for_this_machine(manifest, uri))
    return Resolution(
        identity=f"oci:{digest}",
        name=place.repository.rpartition("/")[2],
        listing=lambda: _list(manifest, session, reach),
        pinned_uri=pinned_uri,
    )


class _Session:
    """Talks to one registry about one repository."""

    def __init__(self, place: _Place, reach: Reach) -> None:
        self._place = place
        self._reach = reach
        self._base = self._find_base()
        self._auth: BoundAuth | None = None

    def manifest(self, reference: str) -> tuple[dict[str, Any], str]:
        """A manifest or an index, and its digest, which is checked."""
        url = f"{self._base}/v2/{self._place.repository}/manifests/{reference}"
        answer = self._open(url, headers={"Accept": ", ".join(_MANIFESTS)})
        try:
            check_status(answer)
            body = answer.document(_MAX_MANIFEST_BYTES)
        finally:
            answer.close()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            message = f"{redact(url)} answers with a manifest of the digest {digest}: the registry is broken"
            raise failed_precondition("DIGEST_MISMATCH", message, field="source.uri")
        try:
            manifest = json.loads(body)
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise _invalid(redact(url), "is no manifest")
        return manifest, digest

    def blob(self, digest: str) -> Request:
        """A request for a layer."""
        return Request(url=f"{self._base}/v2/{self._place.repository}/blobs/{digest}", auth=self._auth)

    def refresh(self, digest: str) -> Request:
        """A request for a layer with a token that holds: those that registries hand out end after minutes."""
        request = self.blob(digest)
        answer = self._open(request.url, method="HEAD")
        answer.close()
        return self.blob(digest)

    def _open(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        answer = self._reach.transport.open(Request(url=url, auth=self._auth), method=method, headers=headers)
        if answer.status != 401:
            return answer
        challenge = answer.headers.get("WWW-Authenticate", "")
        answer.close()
        self._auth = self._answer_to(challenge)
        return self._reach.transport.open(Request(url=url, auth=self._auth), method=method, headers=headers)

    def _answer_to(self, challenge: str) -> BoundAuth | None:
        kind, _, rest = challenge.partition(" ")
        basic = _basic(self._place.registry, self._reach.credentials)
        if kind.lower() == "basic":
            return BoundAuth(prefixes=(self._base,), headers={"Authorization": f"Basic {basic}"}) if basic else None
        if token := self._reach.credentials.get("token"):
            return BoundAuth(prefixes=(self._base,), headers={"Authorization": f"Bearer {token}"})
        values = dict(_CHALLENGE.findall(rest))
        realm = values.pop("realm", "")
        if kind.lower() != "bearer" or not realm:
            return None
        # The registry that gets the credentials says who checks them, but not over a line that anyone reads.
        if origin_of(realm)[0] != "https" and origin_of(realm)[:2] != origin_of(self._base)[:2]:
            raise failed_precondition("UNSAFE_REDIRECT", f"{redact(realm)} asks for credentials in plain text")
        query = {"scope": f"repository:{self._place.repository}:pull", **values}
        query = {name: query[name] for name in ("service", "scope") if query.get(name)}
        auth = (
            BoundAuth(prefixes=(realm.partition("?")[0],), headers={"Authorization": f"Basic {basic}"})
            if basic
            else None
        )
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        body, _ = self._reach.transport.read_json(Request(url=url, auth=auth))
        token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
        if not isinstance(token, str):
            raise TransientError(f"{redact(realm)} answers without a token")
        return BoundAuth(prefixes=(self._base,), headers={"Authorization": f"Bearer {token}"})

    def _find_base(self) -> str:
        """https, or plain HTTP where the registry is on this machine or in a private network and speaks no TLS."""
        secure, plain = f"https://{self._place.host}", f"http://{self._place.host}"
        host = origin_of(plain)[1]
        if not self._reach.is_private(host):
            return secure
        try:
            self._reach.transport.open(Request(url=f"{secure}/v2/")).close()
        except TransientError:
            self._reach.transport.open(Request(url=f"{plain}/v2/")).close()
            return plain
        return secure


def _list(manifest: dict[str, Any], session: _Session, reach: Reach) -> Listing:
    config = manifest.get("config") or {}
    is_image = config.get("mediaType") in _IMAGE_CONFIGS
    files: list[RemoteFile] = []
    layers: list[Layer] = []
    for number, each in enumerate(manifest.get("layers") or ()):
        digest, size, kind = str(each.get("digest", "")), each.get("size"), str(each.get("mediaType", ""))
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or not isinstance(size, int) or size < 0:
            raise _invalid(digest or "a layer", "has no sha256 or no size in its manifest")
        notes = each.get("annotations") or {}
        title = next((str(notes[name]) for name in _TITLES if notes.get(name)), "")
        layer = _layer(number, title, kind, unpacks=notes.get(_UNPACK) == "true", is_image=is_image)
        if layer is None or (not layer.is_archive and not reach.selection.takes(layer.name)):
            continue
        layers.append(layer)
        files.append(
            RemoteFile(
                name=layer.name,
                identity=digest,
                locate=partial(session.refresh, digest),
                size_bytes=size,
                sha256=digest.partition(":")[2],
            )
        )
    if not files:
        raise _invalid("the artifact", "has no layer that is a file: push it with titles (oras does), or as tar layers")
    archives = any(layer.is_archive for layer in layers)
    assemble = partial(unpack_layers, layers, selection=reach.selection) if archives else None
    return Listing(files=tuple(files), is_folder=True, assemble=assemble)


def _layer(number: int, title: str, kind: str, *, unpacks: bool, is_image: bool) -> Layer | None:
    is_tar = "tar" in kind.partition("+")[0].rpartition(".")[2] or ".tar" in kind or kind.endswith("tar+gzip")
    if kind.endswith("+zstd"):
        raise _invalid(title or f"layer {number}", "is compressed with zstd: push it as gzip or without compression")
    if is_image:
        return Layer(name=f"layer-{number}", is_archive=True, below="models/", is_image=True)
    if title and (unpacks or (is_tar and title.endswith("/"))):
        return Layer(name=f"layer-{number}", is_archive=True)
    if title:
        return Layer(name=safe_name(title))
    return Layer(name=f"layer-{number}", is_archive=True) if is_tar else None


def _for_this_machine(index: dict[str, Any], uri: str) -> str:
    """The digest of the manifest in an index that fits this machine, else of the first one."""
    found = [each for each in index["manifests"] if isinstance(each, dict) and each.get("digest")]
    wanted = _MACHINES.get(platform.machine(), platform.machine())
    fitting = [
        each
        for each in found
        if (each.get("platform") or {}).get("architecture") == wanted
        and (each.get("platform") or {}).get("os") == "linux"
    ]
    if not found:
        raise _invalid(uri, "is an index without a manifest")
    return str((fitting or found)[0]["digest"])


def _basic(registry: str, credentials: Mapping[str, str]) -> str:
    """User and password in base64, for this registry."""
    try:
        auths = json.loads(credentials.get(".dockerconfigjson") or "{}").get("auths") or {}
    except (ValueError, AttributeError):
        raise failed_precondition(
            "CREDENTIALS_UNUSABLE", ".dockerconfigjson is no JSON with auths", field="source.credentials"
        ) from None
    for place, entry in auths.items():
        host = place.partition("://")[2] or place
        names = {host.partition("/")[0], host.rstrip("/")}
        if registry in names or (registry in _HUB and "index.docker.io" in names):
            pair = f"{entry.get('username', '')}:{entry.get('password', '')}"
            return str(entry.get("auth") or base64.b64encode(pair.encode()).decode())
    if credentials.get("username"):
        pair = f"{credentials['username']}:{credentials.get('password', '')}"
        return base64.b64encode(pair.encode()).decode()
    return ""


def _parse(uri: str) -> _Place:
    match = _URI.fullmatch(uri)
    if not match:
        message = f"{uri!r} must be oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@sha256:DIGEST"
        raise invalid("source.uri", message)
    repository = match["repository"]
    if match["registry"] in _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return _Place(
        registry=match["registry"].lower(), repository=repository, reference=match["digest"] or match["tag"] or "latest"
    )


def _invalid(what: str, problem: str) -> VoiceplaneError:
    return failed_precondition("ARTIFACT_INVALID", f"{what} {problem}", field="source.uri")
