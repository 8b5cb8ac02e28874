"""Where sources may lead: to public addresses, and to the networks that were named.

A user who may declare a voice chooses its source, and could otherwise make a worker call what only the cluster reaches:
the cloud's metadata, or services that trust each client inside. Every address is checked when its socket is made, so
that neither a redirect nor a name that changes its address a moment later gets around it.

Endpoints in credentials (`AWS_ENDPOINT_URL`, `HF_ENDPOINT`) come from an operator's Secret, not from the declaration:
they may have private addresses, but never a metadata address. What they redirect to is checked as any other address.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition, invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voiceplane_common.errors import VoiceplaneError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # tasks of ECS
        "169.254.170.23",  # pods of EKS
        "168.63.129.16",  # Azure's host, which is a public address by its number
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_ISATAP = 0x5EFE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Judges each address before a socket connects to it.

    Attributes:
        private: Networks besides the public ones that are allowed; None for all, metadata addresses included.
        endpoints: Hosts with their ports that an operator named, which may be private.
    """

    private: tuple[Network, ...] | None = None
    endpoints: frozenset[tuple[str, int]] = frozenset()

    def check(self, address: str, *, host: str, port: int) -> None:
        """Judge an address that a host name has.

        Raises:
            PrivateAddressError: It is refused.
        """
        if self.private is None:
            return
        ip = ipaddress.ip_address(address.partition("%")[0])
        forms = tuple(_forms(ip))
        if any(network.num_addresses == 1 and form in network for network in self.private for form in forms):
            return
        if any(form in _METADATA for form in forms):
            raise PrivateAddressError(address)
        if (host.lower(), port) in self.endpoints or all(_is_public(form) for form in forms):
            return
        if not any(form in network for network in self.private for form in forms):
            raise PrivateAddressError(address)

    def is_private(self, address: str) -> bool:
        """Whether an address is not a public one."""
        return not all(_is_public(form) for form in _forms(ipaddress.ip_address(address.partition("%")[0])))


def refusal(uri: str, error: PrivateAddressError) -> VoiceplaneError:
    """The error to report."""
    message = f"{uri} leads to {error}, which is no public address: add its network to worker.private_sources"
    return failed_precondition("PRIVATE_SOURCE", message, field="source.uri")


def _forms(ip: Address) -> Iterator[Address]:
    """The address that is reached: the IPv4 address inside of an IPv6 one where there is one, else itself."""
    inner = _inner(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    if inner is None:
        yield ip
        return
    yield inner
    # A translator of this network reaches what the prefix stands for, which may be more than the IPv4 address says.
    if isinstance(ip, ipaddress.IPv6Address) and ip in _LOCAL_NAT64:
        yield ip


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    low = int(ip) & 0xFFFFFFFF
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    if ip.sixtofour:
        return ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    isatap = (int(ip) >> 32) & 0xFFFFFFFF in {_ISATAP, 0x0200_0000 | _ISATAP}
    compatible = ip in _COMPATIBLE and low > 0xFFFF
    return ipaddress.IPv4Address(low) if isatap or compatible or ip in _NAT64 or ip in _LOCAL_NAT64 else None


def _is_public(ip: Address) -> bool:
    if ip in _LOCAL_NAT64 or ip in _METADATA:
        return False
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not site_local
