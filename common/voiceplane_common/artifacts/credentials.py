"""Credentials of remote sources.

A set of them has a name and is a folder of that name with one file for each key, which is how Kubernetes mounts a
Secret. They are read for each fetch, so that a rotated Secret is used as soon as it is there.

A set may say where it may go: `uri_prefix` names URI prefixes, separated by white space, and a source that is below
none of them is refused. `.dockerconfigjson` names its registries itself. Whatever a set says, its secrets are sent to
the host that the source or the set's own endpoint names, and to no host that one redirects to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from voiceplane_common.artifacts.urls import redact
from voiceplane_common.errors import failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIELD = "source.credentials"
DOCKER_CONFIG = ".dockerconfigjson"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
# What each scheme can use.
KEYS: dict[str, tuple[str, ...]] = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_SKIP_SIGNATURE",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    ),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN", "GOOGLE_BASE_URL", "GOOGLE_SKIP_SIGNATURE"),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_STORAGE_TENANT_ID",
        "AZURE_STORAGE_ENDPOINT",
    ),
    "hf": ("HF_TOKEN", "HF_ENDPOINT"),
    "https": ("token", "username", "password"),
    "oci": (DOCKER_CONFIG, "username", "password", "token"),
}


def read_credentials(folder: Path | None, name: str) -> dict[str, str]:
    """A set of credentials, by key. Blocking.

    Args:
        folder: Where the sets are; None if there are none.
        name: Of the set, in the form of a Kubernetes name; empty: no credentials.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: no such name can be. FAILED_PRECONDITION, CREDENTIALS_MISSING.
    """
    if not name:
        return {}
    if not _NAME.fullmatch(name) or ".." in name:
        raise invalid(FIELD, f"{name!r} is no name of credentials: use lower-case letters, digits, '-' and '.'")
    own = folder / name if folder else None
    if own is None or not own.is_dir():
        raise _missing(name)
    # Kubernetes keeps the content in folders whose names begin with two dots, and links to it.
    files = [file for file in own.iterdir() if not file.name.startswith("..") and file.is_file()]
    found = {file.name: file.read_text(encoding="utf-8").strip() for file in files}
    if not found:  # an optional Secret that does not exist is mounted as an empty folder
        raise _missing(name)
    return found


def check_credentials(scheme: str, credentials: Mapping[str, str], *, name: str, uri: str) -> None:
    """Check that a set can be used for a source.

    Args:
        scheme: Of the source.
        credentials: By key; keys that the scheme does not know are left aside.
        name: Of the set, for the error; empty: none was asked for.
        uri: Of the source.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: the scheme takes none. FAILED_PRECONDITION: CREDENTIALS_UNUSABLE: none of the
            keys is one of the scheme's. CREDENTIALS_ELSEWHERE: the set's uri_prefix leaves this source out.
    """
    if not name:
        return
    known = KEYS.get(scheme)
    if known is None:
        raise invalid(FIELD, f"{scheme}: sources take no credentials: leave {name!r} out")
    if not any(credentials.get(key) for key in known):
        message = f"credentials {name!r} have none of the keys that {scheme}: sources use: {', '.join(known)}"
        raise failed_precondition("CREDENTIALS_UNUSABLE", message, field=FIELD)
    prefixes = credentials.get("uri_prefix", "").split()
    if prefixes and not any(_is_below(uri, prefix) for prefix in prefixes):
        message = f"credentials {name!r} are for {' and '.join(prefixes)}, and not for {redact(uri)}: name others"
        raise failed_precondition("CREDENTIALS_ELSEWHERE", message, field=FIELD)


def _is_below(uri: str, prefix: str) -> bool:
    """Whether a source is the one that a prefix names, or inside of it.

    Behind a host, only a path may follow: `@` and `:` would make another host or port of it.
    """
    inside = uri.removeprefix(prefix)
    follows = "/@:?" if "/" in prefix.partition("://")[2] else "/?"
    whole = not inside or prefix.endswith("/") or inside[0] in follows
    return uri.startswith(prefix) and whole and ".." not in unquote(inside).split("/")


def _missing(name: str) -> Exception:
    message = (
        f"the worker has no credentials {name!r}: create that Secret, and list it in spec.credentials of the pool "
        "(or without a cluster, as a folder in worker.credentials_dir)"
    )
    return failed_precondition("CREDENTIALS_MISSING", message, field=FIELD)
