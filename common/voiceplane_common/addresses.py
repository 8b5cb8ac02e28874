"""Where a program is reached."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

MAX_PORT = 65_535


def host_and_port(value: str) -> str:
    """Give an address back, if it is one.

    Raises:
        ValueError: It is not host:port.
    """
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError(f"must be host:port with a port up to {MAX_PORT}, such as 127.0.0.1:8080")
    return value


HostAndPort = Annotated[str, AfterValidator(host_and_port)]


def joined(host: str, port: int | str) -> str:
    """An address of its parts; IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
