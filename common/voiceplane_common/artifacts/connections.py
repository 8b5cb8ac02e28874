"""Connections: a checked address, through a proxy where the environment names one, with TLS by the environment's CAs.

Proxies are those of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. CAs are those of the system or of
`SSL_CERT_FILE`, and besides those of `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`. A proxy resolves names itself: behind
one, only addresses that stand in a URL are checked here, and what names lead to is the proxy's to decide.
"""

from __future__ import annotations

import base64
import functools
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from voiceplane_common.artifacts.urls import origin_of
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from voiceplane_common.artifacts.ssrf_guard import Guard
    from voiceplane_common.artifacts.urls import Origin

CONNECT_TIMEOUT_S = 15.0
_MAX_ANSWER = 65_536
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Connector:
    """Makes connections, and can end all of them from another thread."""

    def __init__(self, *, guard: Guard, read_timeout_s: float) -> None:
        """Prepare.

        Args:
            guard: Judges addresses.
            read_timeout_s: How long one read may wait for a byte.
        """
        self._guard = guard
        self._read_timeout_s = read_timeout_s
        self._live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._aborted = False

    def connect(self, origin: Origin) -> tuple[http.client.HTTPConnection, dict[str, str] | None]:
        """A connection to an origin.

        Returns:
            The connection, and for plain HTTP through a proxy the headers for that proxy: the whole URL is then the
            target of a request. Otherwise None.

        Raises:
            PrivateAddressError: The address is refused.
            OSError: It can't be reached. The message of an ssl.SSLError says whether its certificate is at fault.
        """
        scheme, host, port = origin
        proxy = _proxy_of(scheme, host)
        headers = None
        if proxy:
            self._check_literal(host, port)
            sock, headers = self._through(proxy, origin)
        else:
            sock = self._socket(host, port, guarded=True)
        if scheme == "https":
            sock = self._wrap(sock, host)
        sock.settimeout(self._read_timeout_s)
        connection = http.client.HTTPConnection(host, port, timeout=self._read_timeout_s)
        connection.sock = sock
        return connection, headers

    def is_private(self, host: str) -> bool:
        """Whether a host name has no public address. Blocking; False if it has none at all."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return all(self._guard.is_private(str(info[4][0])) for info in found)

    def closed(self, connection: http.client.HTTPConnection) -> None:
        """Close a connection."""
        with self._lock:
            self._live.discard(connection.sock)
        connection.close()

    def abort(self) -> None:
        """End every connection at once, and make no other. Called from another thread."""
        with self._lock:
            self._aborted = True
            for sock in self._live:
                try:
                    # Not SSLSocket's own, which takes its state away from the thread that reads.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
                except OSError:
                    continue

    def _through(self, proxy: str, origin: Origin) -> tuple[socket.socket, dict[str, str] | None]:
        """A socket that leads through a proxy, and the headers for it if requests go to the proxy itself."""
        scheme, host, port = origin
        proxy_scheme, proxy_host, proxy_port = origin_of(proxy)
        headers = _proxy_headers(proxy)
        sock = self._socket(proxy_host, proxy_port, guarded=False)
        if proxy_scheme == "https":
            sock = self._wrap(sock, proxy_host)
        if scheme != "https":
            return sock, headers
        try:
            _tunnel(sock, host, port, headers)
        except BaseException:
            self._drop(sock)
            raise
        return sock, None

    def _socket(self, host: str, port: int, *, guarded: bool) -> socket.socket:
        problem: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if guarded:
                self._guard.check(str(address[0]), host=host, port=port)
            sock = socket.socket(family, kind, protocol)
            try:
                self._keep(sock)
                sock.settimeout(min(CONNECT_TIMEOUT_S, self._read_timeout_s))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                self._drop(sock)
                problem = error
            else:
                return sock
        raise problem or OSError(f"{host} has no address")

    def _wrap(self, sock: socket.socket, host: str) -> socket.socket:
        context = tls_context(os.environ.get("SSL_CERT_FILE", ""), _bundle())
        try:
            wrapped = context.wrap_socket(sock, server_hostname=host)
        except BaseException:
            self._drop(sock)
            raise
        with self._lock:
            self._live.discard(sock)
        try:
            self._keep(wrapped)
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            if self._aborted:
                raise ConnectionAbortedError("the fetch has ended")
            self._live.add(sock)

    def _drop(self, sock: socket.socket) -> None:
        with self._lock:
            self._live.discard(sock)
        sock.close()

    def _check_literal(self, host: str, port: int) -> None:
        address = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return
        self._guard.check(address, host=host, port=port)


@functools.lru_cache(maxsize=4)
def tls_context(certificates: str, bundle: str) -> ssl.SSLContext:
    """How to speak TLS.

    Args:
        certificates: SSL_CERT_FILE, which OpenSSL reads by itself; here for the cache of this function.
        bundle: A file or a folder of further CAs; empty for none.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, CA_INVALID.
    """
    context = ssl.create_default_context()
    if bundle:
        try:
            place = Path(bundle)
            context.load_verify_locations(**{"capath" if place.is_dir() else "cafile": bundle})
        except OSError as error:
            message = f"{' or '.join(_BUNDLES)} names {bundle}, which can't be read as CAs: {error}"
            raise failed_precondition("CA_INVALID", message) from None
    del certificates
    return context


def _bundle() -> str:
    return next((value for name in _BUNDLES if (value := os.environ.get(name))), "")


def _proxy_of(scheme: str, host: str) -> str:
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(scheme) or proxies.get("all", "")
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        kind = urlsplit(proxy).scheme
        message = f"the environment names a {kind} proxy for {scheme}: name one with http:// or https://"
        raise failed_precondition("PROXY_UNSUPPORTED", message)
    return proxy


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _tunnel(sock: socket.socket, host: str, port: int, headers: dict[str, str]) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {value}" for name, value in headers.items())]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = b""
    # Byte by byte: what follows belongs to TLS.
    while not answer.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte or len(answer) > _MAX_ANSWER:
            raise ConnectionError("the proxy closed the connection instead of opening a tunnel")
        answer += byte
    status = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(status) < 2 or status[1] != "200":
        raise ConnectionError(f"the proxy refuses a tunnel to {target}: {' '.join(status[1:])}")
