"""HTTP requests: redirects with credentials that stay with their host, and answers that are read into a buffer."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from voiceplane_common.artifacts.ssrf_guard import PrivateAddressError, refusal
from voiceplane_common.artifacts.urls import is_below, origin_of, redact, redact_text, target_of
from voiceplane_common.errors import failed_precondition, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_common.artifacts.connections import Connector
    from voiceplane_common.artifacts.urls import Origin
    from voiceplane_common.errors import VoiceplaneError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
MAX_REDIRECTS = 10
MAX_DOCUMENT_BYTES = 64 << 20
USER_AGENT = "voiceplane"


class TransientError(Exception):
    """A failure that another try may not meet.

    Attributes:
        retry_after_s: How long the server asks to wait; 0 if it does not say.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundAuth:
    """Headers that open a source, and the URL prefixes that may get them.

    Attributes:
        prefixes: A request gets the headers if its URL is below one of these, whatever it was redirected from.
        headers: Such as Authorization.
    """

    prefixes: tuple[str, ...]
    headers: Mapping[str, str]

    def headers_for(self, url: str) -> Mapping[str, str]:
        """The headers that a URL gets."""
        return self.headers if any(is_below(url, prefix) for prefix in self.prefixes) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask for.

    Attributes:
        url: http: or https:.
        headers: Sent to every host that a redirect leads to.
        auth: Sent only where it belongs.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: BoundAuth | None = None


class Answer:
    """An answer whose body has not been read yet. Close it.

    Attributes:
        status: The status code.
        url: Where it came from, after redirects.
        headers: By name, case-insensitive.
    """

    def __init__(self, response: http.client.HTTPResponse, url: str, give_back: _GiveBack) -> None:
        self._response = response
        self._give_back = give_back
        self._closed = False
        self.status = response.status
        self.url = url
        self.headers = response.headers

    @property
    def length(self) -> int | None:
        """Bytes of the body; None if the server does not say."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isascii() and value.isdigit() else None

    def read(self, at_most: int) -> bytes:
        """What has come of the body, at most so much of it; empty at its end.

        Raises:
            TransientError: The connection broke.
        """
        try:
            block = self._response.read1(at_most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransientError(_words(error)) from error
        if not block and self._response.length:
            raise TransientError(f"the connection ended {self._response.length} bytes too early")
        return block

    def document(self, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """The whole body of a small answer; raises as read does."""
        parts, size = [], 0
        while block := self.read(1 << 16):
            size += len(block)
            if size > limit:
                raise unavailable("FETCH_FAILED", f"{redact(self.url)} answers with more than {limit} bytes")
            parts.append(block)
        return b"".join(parts)

    def close(self) -> None:
        """Keep the connection for the next request if the body has been read, else close it; a second time, nothing."""
        if self._closed:
            return
        self._closed = True
        if self._response.length == 0 and not self._response.isclosed():
            self._response.read()  # nothing: it only notes the end
        reusable = self._response.isclosed() and not self._response.will_close
        self._response.close()
        self._give_back(reusable)


class _GiveBack:
    def __init__(self, transport: Transport, origin: Origin, connection: _Connection) -> None:
        self._arguments = (transport, origin, connection)

    def __call__(self, reusable: bool) -> None:
        transport, origin, connection = self._arguments
        transport.give_back(origin, connection, reusable=reusable)


_Connection = tuple[http.client.HTTPConnection, "dict[str, str] | None"]


class Transport:
    """Sends requests; threads may share it."""

    def __init__(self, connector: Connector, *, max_idle: int = 8) -> None:
        self._connector = connector
        self._max_idle = max_idle
        self._idle: dict[Origin, list[_Connection]] = {}
        self._closed = False
        self._lock = threading.Lock()

    def open(self, request: Request, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and follow redirects; every other status is an answer.

        Raises:
            TransientError: No answer came.
            VoiceplaneError: FAILED_PRECONDITION: PRIVATE_SOURCE, UNSAFE_REDIRECT or TLS_UNTRUSTED.
        """
        url = request.url
        for _ in range(MAX_REDIRECTS):
            bound = request.auth.headers_for(url) if request.auth else {}
            sent = {
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "identity",
                **request.headers,
                **(headers or {}),
                **bound,
            }
            answer = self._send(method, url, sent)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            _drain(answer)
            target = urljoin(url, location)
            if origin_of(url)[0] == "https" and origin_of(target)[0] != "https":
                message = f"{redact(url)} redirects to {redact(target)}, which is not encrypted: correct the server"
                raise failed_precondition("UNSAFE_REDIRECT", message, field="source.uri")
            url = target
        raise failed_precondition(
            "UNSAFE_REDIRECT", f"{redact(request.url)} redirects more than {MAX_REDIRECTS} times", field="source.uri"
        )

    def read_json(self, request: Request, *, headers: Mapping[str, str] | None = None) -> tuple[Any, Answer]:
        """The document that a URL answers with, and its answer, closed already.

        Raises:
            TransientError: It is not there at the moment, or is no JSON.
            VoiceplaneError: See open and refused.
        """
        answer = self.open(request, headers=headers)
        try:
            check_status(answer)
            body = answer.document()
        finally:
            answer.close()
        try:
            return json.loads(body), answer
        except ValueError as error:
            raise TransientError(f"{redact(answer.url)} answers with something that is no JSON") from error

    def give_back(self, origin: Origin, connection: _Connection, *, reusable: bool) -> None:
        """Take a connection back."""
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            if reusable and len(idle) < self._max_idle and not self._closed:
                idle.append(connection)
                return
        self._connector.closed(connection[0])

    def abort(self) -> None:
        """End every request at once. Called from another thread."""
        self._connector.abort()

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            self._closed = True
            idle = [connection for each in self._idle.values() for connection in each]
            self._idle.clear()
        for connection, _ in idle:
            self._connector.closed(connection)

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        origin = origin_of(url)
        with self._lock:
            idle = self._idle.get(origin)
            reused = idle.pop() if idle else None
        if reused is not None:
            try:
                return self._exchange(reused, method, url, headers, origin)
            except TransientError:
                pass  # the server had closed it meanwhile: a new one decides
        try:
            connection = self._connector.connect(origin)
        except PrivateAddressError as error:
            raise refusal(redact(url), error) from None
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(url, error) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise TransientError(f"{redact(url)}: {_words(error)}") from error
        return self._exchange(connection, method, url, headers, origin)

    def _exchange(
        self, connection: _Connection, method: str, url: str, headers: Mapping[str, str], origin: Origin
    ) -> Answer:
        http_connection, proxy_headers = connection
        target = target_of(url)
        if proxy_headers is not None:
            parts = urlsplit(url)
            target = f"{parts.scheme}://{parts.netloc}{target}"
            headers = {**headers, **proxy_headers}
        try:
            http_connection.request(method, target, headers=dict(headers))
            response = http_connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connector.closed(http_connection)
            raise TransientError(f"{redact(url)}: {_words(error)}") from error
        return Answer(response, url, _GiveBack(self, origin, connection))


def check_status(answer: Answer) -> None:
    """Refuse an answer that is no success; closes it then.

    Raises:
        TransientError: The server may answer otherwise a little later.
        VoiceplaneError: FAILED_PRECONDITION: ARTIFACT_MISSING or ACCESS_DENIED. UNAVAILABLE: FETCH_FAILED.
    """
    if 200 <= answer.status < 300:
        return
    status, shown = answer.status, redact(answer.url)
    wait = answer.headers.get("Retry-After", "")
    answer.close()
    if status in TRANSIENT:
        raise TransientError(
            f"{shown} answers {status}",
            retry_after_s=min(float(wait), 60.0) if wait.isascii() and wait.isdigit() else 0.0,
        )
    raise refused(shown, status)


def refused(shown: str, status: int) -> VoiceplaneError:
    """The error of a status that another try would get again."""
    if status in {404, 410}:
        return failed_precondition("ARTIFACT_MISSING", f"{shown} does not exist", field="source.uri")
    if status in {401, 403}:
        message = f"{shown} answers {status}: name credentials that may read it, or have access granted to them"
        return failed_precondition("ACCESS_DENIED", message, field="source.credentials")
    return unavailable("FETCH_FAILED", f"cannot fetch {shown}: it answers {status}", retry_after_ms=1000)


def _untrusted(url: str, error: ssl.SSLCertVerificationError) -> VoiceplaneError:
    message = (
        f"{redact(url)} has a certificate that is not trusted here ({error.verify_message}): set SSL_CERT_FILE or "
        "REQUESTS_CA_BUNDLE to the CAs that you trust"
    )
    return failed_precondition("TLS_UNTRUSTED", message, field="source.uri")


def _drain(answer: Answer) -> None:
    """Read a redirect's short body, so that its connection can be used again."""
    try:
        for _ in range(8):
            if not answer.read(8192):
                break
    except TransientError:
        pass
    answer.close()


def _words(error: BaseException) -> str:
    return redact_text(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
