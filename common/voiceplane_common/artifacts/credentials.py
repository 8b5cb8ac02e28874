"""Credentials of remote sources.

A set of them has a name and is a folder of that name with one file for each key, which is how Kubernetes mounts a
Secret. They are read for each fetch, so that a rotated Secret takes effect at once.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from voiceplane_common.errors import failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIELD = "source.credentials"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_S3 = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_ENDPOINT_URL": "endpoint_url",
}
_HF = {"HF_TOKEN": "token", "HF_ENDPOINT": "endpoint"}
# What each scheme can use.
KEYS = {
    "s3": (*_S3, "AWS_REGION"),
    "hf": tuple(_HF),
    "https": ("token", "username", "password"),
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
    # Kubernetes keeps the content in hidden folders and links to it.
    files = [file for file in own.iterdir() if not file.name.startswith(".") and file.is_file()]
    found = {file.name: file.read_text(encoding="utf-8").strip() for file in files}
    if not found:  # an optional Secret that does not exist is mounted as an empty folder
        raise _missing(name)
    return found


def storage_options(scheme: str, credentials: Mapping[str, str], *, name: str) -> dict[str, Any]:
    """What fsspec's file system of a scheme takes.

    Args:
        scheme: Of the source.
        credentials: By key; keys that the scheme does not know are left aside.
        name: Of the set, for the error.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, CREDENTIALS_UNUSABLE: none of the keys is one of the scheme's.
    """
    if not name:
        return {}
    known = KEYS.get(scheme)
    if known is None:
        raise invalid(FIELD, f"{scheme}: sources take no credentials: leave {name!r} out")
    if not any(credentials.get(key) for key in known):
        message = f"credentials {name!r} have none of the keys that {scheme}: sources use: {', '.join(known)}"
        raise failed_precondition("CREDENTIALS_UNUSABLE", message, field=FIELD)
    if scheme == "https":
        return {"headers": {"Authorization": _authorization(credentials)}}
    names = _S3 if scheme == "s3" else _HF
    options: dict[str, Any] = {option: credentials[key] for key, option in names.items() if credentials.get(key)}
    if scheme == "s3" and credentials.get("AWS_REGION"):
        options["client_kwargs"] = {"region_name": credentials["AWS_REGION"]}
    return options


def _authorization(credentials: Mapping[str, str]) -> str:
    if token := credentials.get("token"):
        return f"Bearer {token}"
    pair = f"{credentials.get('username', '')}:{credentials.get('password', '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _missing(name: str) -> Exception:
    message = (
        f"the worker has no credentials {name!r}: create that Secret, and list it in spec.credentials of the pool "
        "(or without a cluster, as a folder in worker.credentials_dir)"
    )
    return failed_precondition("CREDENTIALS_MISSING", message, field=FIELD)
