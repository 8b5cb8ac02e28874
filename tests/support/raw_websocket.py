"""A WebSocket peer without a library: it does only what the test calls, so it can be silent, slow or broken."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXT, CLOSE, PING = 0x1, 0x8, 0x9


class RawPeer:
    """One connection; nothing is read, and no ping answered, unless a method here does so."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send_json(self, **message: object) -> None:
        payload, mask = json.dumps(message).encode(), os.urandom(4)
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
        self._writer.write(bytes([0x80 | TEXT]) + length + mask + masked)
        await self._writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload.

        Raises:
            asyncio.IncompleteReadError: The connection has ended.
        """
        opcode, length = await self._reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack(">H", await self._reader.readexactly(2))
        return opcode & 0x0F, await self._reader.readexactly(length)


@contextlib.asynccontextmanager
async def raw_peer(url: str, *, receive_buffer_bytes: int = 8 * 1024) -> AsyncIterator[RawPeer]:
    """A WebSocket that is open; see raw_connection."""
    parts = urlsplit(url)
    async with raw_connection(url, receive_buffer_bytes=receive_buffer_bytes) as (reader, writer):
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.partition(b"\r\n")[0]
        yield RawPeer(reader, writer)


@contextlib.asynccontextmanager
async def raw_connection(
    url: str, *, receive_buffer_bytes: int = 8 * 1024
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to a URL's host.

    Args:
        url: With http or ws.
        receive_buffer_bytes: Kept by this side before the other one is held up.
    """
    parts = urlsplit(url)
    raw = socket.socket()
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    await asyncio.get_running_loop().sock_connect(raw, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer_bytes)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
