"""`s3:`, `gs:` and `az:` sources: an object, or every object below a prefix, listed and signed by obstore.

Objects are known by their ETag and the version that the store gives them. Their bytes come by signed URLs, over the
same connections as those of every other scheme. Without credentials a bucket is read as a public one.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

from voiceplane_common.artifacts.blobs import hashed
from voiceplane_common.artifacts.files import Listing, RemoteFile, Resolution
from voiceplane_common.artifacts.transport import Request, TransientError
from voiceplane_common.artifacts.trees import safe_name
from voiceplane_common.artifacts.urls import redact_text
from voiceplane_common.errors import failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore import ObjectMeta

    from voiceplane_common.artifacts.sources.reach import Reach
    from voiceplane_common.errors import VoiceplaneError

SIGNED_FOR = timedelta(hours=1)
_URI = re.compile(r"(?P<scheme>s3|gs|az)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(?:/(?P<key>.*))?", re.DOTALL)
_CLIENT: dict[str, Any] = {"connect_timeout": "10s", "timeout": "30s", "user_agent": "voiceplane"}
_RETRY: dict[str, Any] = {"max_retries": 2, "retry_timeout": timedelta(seconds=30)}
_PUBLIC = {"s3": "https://s3.{region}.amazonaws.com", "gs": "https://storage.googleapis.com"}
# What in the environment says that there are credentials.
_SIGNS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_METADATA_ENDPOINT"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
           "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BEARER_TOKEN"),
}  # fmt: skip
_Store = S3Store | GCSStore | AzureStore


def endpoint_of(scheme: str, credentials: Mapping[str, str]) -> str:
    """The endpoint that an operator has named; empty for the cloud's own."""
    names = {
        "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        "gs": ("GOOGLE_BASE_URL",),
        "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    }[scheme]
    values = (source.get(name) for source in (credentials, os.environ) for name in names)
    return next((value.rstrip("/") for value in values if value), "")


def resolve(uri: str, reach: Reach) -> Resolution:
    """List what is there.

    Raises:
        TransientError: The store does not answer.
        VoiceplaneError: INVALID_ARGUMENT: the URI has another form. FAILED_PRECONDITION: ARTIFACT_MISSING or
            ACCESS_DENIED.
    """
    match = _URI.fullmatch(uri)
    if not match:
        raise invalid("source.uri", f"{uri!r} must be like s3://BUCKET/PREFIX")
    scheme, bucket, key = match["scheme"], match["bucket"], (match["key"] or "").rstrip("/")
    endpoint = endpoint_of(scheme, reach.credentials)
    public = _is_public(scheme, reach.credentials)
    try:
        store = _store(scheme, bucket, reach.credentials, endpoint=endpoint, public=public)
        found = [each for page in obstore.list(store, key or None) for each in page]
        is_folder = bool(found)
        if not found and key:
            found = [obstore.head(store, key)]
    except FileNotFoundError:
        found, is_folder = [], False
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _denied(uri, error) from error
    except (BaseError, OSError, ValueError) as error:
        if "NoSuchBucket" not in str(error):
            raise TransientError(f"{uri}: {_words(error)}") from error
        found, is_folder = [], False
    found = [each for each in found if not (each["size"] == 0 and each["path"].endswith("/"))]
    if not found:
        raise failed_precondition("ARTIFACT_MISSING", f"{uri} does not exist", field="source.uri")
    prefix = f"{key}/" if key else ""
    place = f"{scheme}:{endpoint}/{bucket}"

    def file(meta: ObjectMeta) -> RemoteFile:
        path = meta["path"]
        tag = meta["e_tag"] or ""
        return RemoteFile(
            name=safe_name(path.removeprefix(prefix) if is_folder else path.rpartition("/")[2]),
            identity="#".join(
                (f"{place}/{path}", meta["version"] or "", tag or str(meta["last_modified"]), str(meta["size"]))
            ),
            locate=partial(_signed, scheme, store, bucket, path, endpoint=endpoint, public=public),
            size_bytes=meta["size"],
            validator="" if tag.startswith("W/") else tag,
        )

    files = tuple(sorted((file(meta) for meta in found), key=lambda each: each.name))
    content = hashed("\n".join(f"{each.name} {each.identity}" for each in files))
    return Resolution(
        identity=f"{place}/{key}#{content}",
        name=key.rpartition("/")[2] or bucket,
        listing=lambda: Listing(files=files, is_folder=is_folder),
    )


def _store(scheme: str, bucket: str, credentials: Mapping[str, str], *, endpoint: str, public: bool) -> _Store:
    options: dict[str, Any] = {"client_options": {**_CLIENT, **_certificates()}, "retry_config": _RETRY}
    if endpoint.startswith("http://"):
        options["client_options"]["allow_http"] = True
    if public:
        options["skip_signature"] = True
    if scheme == "s3":
        if endpoint:
            options["endpoint"] = endpoint
        if region := credentials.get("AWS_REGION"):
            options["region"] = region
        if credentials.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
            options["virtual_hosted_style_request"] = True
        if credentials.get("AWS_ACCESS_KEY_ID"):
            # A provider and no options: those would mix with what the environment has, such as another session's token.
            options["credential_provider"] = _provider(credentials)
        return S3Store(bucket, **options)
    names = {name.lower(): value for name, value in credentials.items() if value and name.startswith(_PREFIXES[scheme])}
    names.pop("google_skip_signature", None)
    if scheme == "gs":
        return GCSStore(bucket, config=cast("Any", names) or None, **options)
    return AzureStore(bucket, config=cast("Any", names) or None, **options)


_PREFIXES = {"gs": "GOOGLE_", "az": "AZURE_"}


def _provider(credentials: Mapping[str, str]) -> Any:  # obstore's types are for type checkers alone
    keys = {
        "access_key_id": credentials["AWS_ACCESS_KEY_ID"],
        "secret_access_key": credentials.get("AWS_SECRET_ACCESS_KEY", ""),
        "token": credentials.get("AWS_SESSION_TOKEN") or None,
        "expires_at": None,
    }
    return lambda: keys


def _certificates() -> dict[str, Any]:
    """CAs besides the system's: REQUESTS_CA_BUNDLE; SSL_CERT_FILE is read by obstore itself."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if (place := os.environ.get(name)) and os.path.isfile(place):  # noqa: PTH113
            with open(place, "rb") as file:  # noqa: PTH123
                return {"root_certificate": file.read()}
    return {}


def _is_public(scheme: str, credentials: Mapping[str, str]) -> bool:
    if any(credentials.get(name) or os.environ.get(name) for name in ("AWS_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE")):
        return True
    signs = _SIGNS.get(scheme)
    return signs is not None and not any(credentials.get(name) or os.environ.get(name) for name in signs)


def _signed(scheme: str, store: _Store, bucket: str, path: str, *, endpoint: str, public: bool) -> Request:
    if not public:
        try:
            return Request(url=obstore.sign(store, "GET", path, SIGNED_FOR))
        except (BaseError, OSError, ValueError) as error:
            raise TransientError(f"{scheme}://{bucket}/{path} can't be signed: {_words(error)}") from error
    region = os.environ.get("AWS_REGION") or "us-east-1"
    base = endpoint or _PUBLIC[scheme].format(region=region)
    return Request(url=f"{base}/{bucket}/{quote(path)}")


def _denied(uri: str, error: Exception) -> VoiceplaneError:
    message = f"{uri} may not be read: {_words(error)}; name credentials that may, or have access granted to them"
    return failed_precondition("ACCESS_DENIED", message, field="source.credentials")


def _words(error: Exception) -> str:
    return redact_text(str(error).split("\n\nDebug source")[0] or type(error).__name__)[:500]
