"""URLs: their parts, and how they are shown without what is secret in them."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from voiceplane_common.errors import invalid

DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[a-z][a-z0-9+]*://[^\s\"'<>]+", re.IGNORECASE)
_KEPT = "%/:=~+!$,;'@()*[]&-._"

Origin = tuple[str, str, int]
"""Scheme, host and port."""


def redact(url: str) -> str:
    """A URL for messages and logs: without user, password and the values of its query, which may be signatures."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://…"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{pair.partition('=')[0]}=…" for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def redact_text(text: str) -> str:
    """A text in one line, with each URL in it redacted."""
    return " ".join(_URL.sub(lambda match: redact(match[0]), text).split())


def origin_of(url: str) -> Origin:
    """Scheme, host in lower case, and port of an http: or https: URL.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: it has no host, another scheme, or a port that is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        host = (parts.hostname or "").lower()
    except ValueError as error:
        raise invalid("source.uri", f"{redact(url)!r} is not a URL: {error}") from None
    if not host or not port:
        raise invalid("source.uri", f"{redact(url)!r} must be http:// or https:// with a host")
    return parts.scheme, host, port


def target_of(url: str) -> str:
    """What a request for a URL asks a server for: its path and query, with every other character escaped."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe=_KEPT)
    return f"{path}?{quote(parts.query, safe=_KEPT + '?')}" if parts.query else path


def without_userinfo(url: str) -> tuple[str, str, str]:
    """A URL without its user and password, and those two, empty if it has none."""
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, "", ""
    user, _, password = userinfo.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(user), unquote(password)


def is_below(url: str, prefix: str) -> bool:
    """Whether a URL has the origin of a prefix, and a path inside of the prefix's path."""
    if origin_of(url) != origin_of(prefix):
        return False
    path, above = unquote(urlsplit(url).path), unquote(urlsplit(prefix).path).rstrip("/")
    if not above:
        return True
    return ".." not in path.split("/") and (path == above or path.startswith(above + "/"))


def join_path(base: str, *parts: str) -> str:
    """A URL with path components appended, each escaped, slashes inside of them kept."""
    return "/".join([base.rstrip("/"), *(quote(part.strip("/"), safe="/") for part in parts if part)])
