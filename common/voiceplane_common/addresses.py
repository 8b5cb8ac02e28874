"""Network addresses: host and port."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from voiceplane_common.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PORT = 65_535


def host_and_port(value: str) -> str:
    """Validate an address and return it.

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


@contextlib.contextmanager
def listening(where: str, *, setting: str) -> Iterator[None]:
    """A block that starts to listen; an unavailable address becomes an error with its setting.

    Raises:
        VoiceplaneError: UNAVAILABLE, ADDRESS_IN_USE, instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        message = f"cannot listen on {where}: {error.strerror}; set {setting}"
        raise unavailable("ADDRESS_IN_USE", message) from None
