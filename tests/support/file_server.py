"""A web server on loopback with TLS, ranges and ETags, which fails in the ways that servers and networks fail."""

from __future__ import annotations

import hashlib
import http.server
import re
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

BLOCK_BYTES = 16_384


@dataclass(slots=True)
class Served:
    """What a path answers with.

    Attributes:
        body: The file.
        tag: Its ETag; None for that of its content, empty for none.
        ranges: Whether parts of it can be asked for.
        head: Whether HEAD is known.
        length: Whether its size is sent.
        token: The bearer token that it asks for.
        redirect: Where it leads instead.
        statuses: Answers to the next requests for the body, before it is sent.
        cut_after: The connection breaks after that many bytes of the file altogether, once.
        stall_after: No byte comes after that many.
        bytes_per_s: How fast it is sent; 0 for no bound.
    """

    body: bytes = b""
    tag: str | None = None
    ranges: bool = True
    head: bool = True
    length: bool = True
    token: str = ""
    redirect: str = ""
    statuses: list[int] = field(default_factory=list)
    cut_after: int | None = None
    stall_after: int | None = None
    bytes_per_s: int = 0
    sent: int = 0

    @property
    def etag(self) -> str:
        """Its ETag, with quotes."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"' if self.tag is None else self.tag


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]


class FileServer:
    """A running server.

    Attributes:
        url: Without a slash at its end.
        files: What it serves, by path.
        asked: The requests.
        dynamic: Answers for other paths: status, headers and body.
        ended: Lets go of what stalls.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.dynamic: Callable[[Asked], tuple[int, dict[str, str], bytes] | None] = lambda _: None
        self.ended = threading.Event()
        self.lock = threading.Lock()

    @property
    def sent_bytes(self) -> int:
        """Bytes of files that were sent."""
        return sum(each.sent for each in self.files.values())

    @property
    def paths(self) -> list[str]:
        """Methods and paths that were asked for."""
        return [f"{each.method} {each.path}" for each in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    running: FileServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        running = self.running
        asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        with running.lock:
            running.asked.append(asked)
        if (dynamic := running.dynamic(asked)) is not None:
            status, headers, body = dynamic
            self._send(status, headers, body)
            return
        served = running.files.get(self.path.partition("?")[0])
        if served is None:
            self._send(404)
        elif served.redirect:
            self._send(302, {"Location": served.redirect}, b"elsewhere")
        elif served.token and self.headers["Authorization"] != f"Bearer {served.token}":
            self._send(401)
        elif self.command == "HEAD" and not served.head:
            self._send(405)
        elif self.command == "GET" and served.statuses:
            self._send(served.statuses.pop(0))
        else:
            self._file(served)

    def _file(self, served: Served) -> None:
        first, last = 0, len(served.body) - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "") if served.ranges else None
        if (match := self.headers["If-Match"]) and match != served.etag:
            self._send(412)
            return
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
        self.send_response(206 if asked else 200)
        if served.etag:
            self.send_header("ETag", served.etag)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(served.body)}")
        if served.length:
            self.send_header("Content-Length", str(last + 1 - first))
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET":
            self._write(served, served.body[first : last + 1])

    def _write(self, served: Served, body: bytes) -> None:
        for start in range(0, len(body), BLOCK_BYTES):
            block = body[start : start + BLOCK_BYTES]
            if served.stall_after is not None and served.sent + len(block) > served.stall_after:
                self.running.ended.wait(30)
                self.close_connection = True
                return
            if served.cut_after is not None and served.sent + len(block) > served.cut_after:
                served.cut_after = None
                self.connection.close()
                self.close_connection = True
                return
            self.wfile.write(block)
            with self.running.lock:
                served.sent += len(block)
            if served.bytes_per_s:
                time.sleep(len(block) / served.bytes_per_s)

    def _send(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # the client has left, or we have
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def file_server(certificates: Mapping[str, str] | None = None) -> Iterator[FileServer]:
    """A server on loopback; with TLS if it is given certificates of `localhost`."""

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificates:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates["cert_file"], certificates["key_file"])
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        running = FileServer(f"{scheme}://localhost:{server.server_port}")
        Handler.running = running
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.ended.set()
            server.shutdown()
            thread.join()


def certificates(folder: Path) -> dict[str, str]:
    """Certificates of localhost by an authority of their own."""
    # A name of its own, so that no other authority of the tests is taken for it.
    return Authority(name=f"authority of {folder.name}").issue(folder, "localhost")
