"""Guards https: sources against SSRF: only public addresses and the configured private networks are allowed.

The author of a voice chooses its source, and could otherwise make a worker call services that only the cluster reaches,
such as the cloud's metadata. The address is checked when its socket is created, so that neither a redirect nor DNS
rebinding bypasses it.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from voiceplane_common.errors import VoiceplaneError, failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    import aiohttp

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PrivateAddressError(Exception):
    """An address that no source may lead to."""


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Networks by their names, such as 10.20.0.0/16.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: one is none.
    """
    found = []
    for name in names:
        try:
            found.append(ipaddress.ip_network(name))
        except ValueError as error:
            raise invalid("worker.private_sources", f"{error}: name a network such as 10.20.0.0/16") from None
    return tuple(found)


def client_options(private: tuple[Network, ...]) -> dict[str, Any]:
    """What fsspec's HTTP file system takes, so that it connects to public addresses and these networks alone."""

    def connect(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        _check(address[0], private)
        return socket.socket(family, kind, protocol)

    async def client(**options: Any) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415  # fsspec has found it already, and who fetches nothing needs none

        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=connect), **options)

    return {"get_client": client, "skip_instance_cache": True}


def refusal(uri: str, error: BaseException | None) -> VoiceplaneError | None:
    """The error to report if a private address is its cause."""
    while error is not None:
        if isinstance(error, PrivateAddressError):
            message = (
                f"{uri} resolves to {error}, which is not a public address: add its network to worker.private_sources"
            )
            return failed_precondition("PRIVATE_SOURCE", message, field="source.uri")
        error = error.__cause__ or error.__context__
    return None


def _check(address: str, private: tuple[Network, ...]) -> None:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if not ip.is_global and not any(ip in network for network in private):
        raise PrivateAddressError(address)
